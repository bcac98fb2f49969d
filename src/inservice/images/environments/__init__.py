"""The Pythons that stand in for images, built on this host.

built              BuiltEnvironments: what is asked, by runtimes and by who looks after them
order              what is to be built, as a value, and how it is named
requirements_file  what a model's requirements.txt asks for
pip_settings       where packages come from: pip's settings
pythons            which Pythons this host has
server             what our model server needs in each, and the link to its code
building           a builder, seen from control
builder            builds one in a process: `steps`, by `installers` (uv, pip), `apart` where code
                   of packages runs, `running` each command; `explain` says why it failed
places             the directory that all are in, and the moves that are safe
keeping            what is built, listed and removed
strays             processes of a build, and of an environment
"""
