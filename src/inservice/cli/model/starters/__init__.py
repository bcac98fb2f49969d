"""What `inservice model init` begins a model with: one file for each framework.

`about` is a phrase, `image` what runs it, `needs` what its train.py imports (as pip names it),
`request` a request as `kind` and `body`, `answer` an expression over `answer`, the text of the
answer, that holds; `environment` the variables of its container. `[files]` are written as they are;
beside them each folder gets the README, the request and the test of `init.py`.
"""
