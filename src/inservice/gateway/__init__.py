"""The data plane: one worker process of it, of which there are several on the same sockets.

worker      the process: sockets, signals, heartbeat, its end of the channel, its planes
front       a client's connection; what a plane is, and the exchange that it opens
runtime/    the plane of invocations
balance/    how they are spread over the instances that there are
unsigned    the plane for who has not signed: /ping, /ready, and a page for a browser
control     the plane of everything else
carried     a request carried to another server and back, its body as it comes
relay       an answer on its way to a client, no faster than the client reads
answers     request ids, and errors on the wire
routes      the table that the worker serves from
routed      whoever has that table, as the planes see it
"""
