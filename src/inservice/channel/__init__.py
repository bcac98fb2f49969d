"""What control and the gateway workers say to each other: one package with both ends of it.

A worker serves by a table, which control publishes; control stops a fleet when every live worker
has acknowledged a table without it, and counts what workers tell it. What either end knows and
decides is a state machine without I/O, so that any loss, repetition or death between the two can be
tried in a test; sockets and files are at the edge.

base          what the controller sees of it
tables        the table, and deltas: what leads from one version to the next, endpoint by endpoint
counts        what a worker counted of one fleet in about a second
messages      every message, how it is written on the wire, and versions of this language
table_file    the newest table on disk, for a worker that starts while control is gone
control       control's end: who has what, what is to be sent, what all have acknowledged
worker        a worker's end: which tables are taken, which refused
publishing    control's end on its socket and files
following     a worker's end on its socket
"""
