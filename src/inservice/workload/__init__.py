"""What the instances of a fleet run. It says *what*, never *where*: no path, no address, no host.

asset.py      files that a container needs, by where they are in the world
container.py  one server process, and all of them that an instance has
of_model.py   what the fleet of a model runs
"""
