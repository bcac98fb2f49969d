"""One model folder in the foreground, without a server and without AWS: `inservice model run`.

folder.py    the files: a folder or an archive, and what changes of them
served.py    one life of the model server: its start, its output, its end, what went wrong
view.py      the process that shows it its files where a container has them, and becomes it
__main__.py  start, wait for a change, start again
"""
