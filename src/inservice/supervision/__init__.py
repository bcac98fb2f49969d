"""The process tree: who runs, who is started again, and how a new one takes an old one's place.

What runs is declared (`programs`), each with the sockets that it is handed. `supervisor` keeps it
running and has no other job. `replacing` puts a new process in the place of an old one that serves,
and leaves the old one where it is when the new one does not come up. `handover` carries everything
that a supervisor owns over an `exec` of newer code. `orders` is how the command line asks for it.
"""
