"""`inservice demo`: a real model through the whole of InService, seen from outside.

    digits.py     train a classifier on scikit-learn's digits, pack it as model.tar.gz
    server.py     start and stop InService as a user does, and show that nothing is left
    hosting.py    CreateModel … DeleteModel and InvokeEndpoint, through unmodified boto3
    story.py      what is printed

Nothing here imports the rest of InService: what the demo shows is what any client can do.
"""
