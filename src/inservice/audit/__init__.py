"""The audit trail: who changed what, and who was refused; one line for each call.

    entry    what a line says
    files    lines at the end of numbered files: durable when told, whole or not there
    begun    what is under way, so that a kill leaves no change without its author
    trail    what control writes
    reading  what `inservice audit` reads

Changes and denials are in files of their own: who may only be refused cannot push out who changed
what by being refused often.
"""
