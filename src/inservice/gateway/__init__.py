"""The data plane: one worker process of it, of which there are several on the same sockets.

worker        the process: sockets, signals, heartbeat, its end of the channel to control
connection    which of a client's requests is answered how
invoke        one invocation: verify, route, forward, count
streaming     one whose answer goes out as events, each part as it comes
openai        the path for clients that speak OpenAI's dialect, and its bearer keys
relay         an answer on its way from a model to a client, no faster than the client reads
requests      what of a client's request a model gets to see
answers       what a client gets to see: headers, errors in AWS's words
routes        the worker's copy of the routing table
instances     who is busy, who is to be left alone
health        pings to instances that have fallen silent or were ejected
waiting       the short queue of requests for which every instance is full
sessions      which instance holds a sticky session
counting      what happened, for metrics, counted exactly
proxy         everything else, carried to control
"""
