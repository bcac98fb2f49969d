"""The runtime plane: invocations of models.

plane       claims /endpoints/…, and puts together what answers: a dialect, a selection, a tap
invoke      one invocation: verify, route, forward, count
dialects/   how a client speaks: InvokeEndpoint, its response stream, OpenAI
selection   which instance gets it
taps/       who listens: what happened is counted
requests    what of a client's request a model gets to see
errors      what a client hears when the model has failed
sessions    which instance holds a sticky session
shared      what all invocations of a worker share
"""
