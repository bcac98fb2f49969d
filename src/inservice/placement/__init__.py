"""What a host has, who holds how much of it, and whether something more finds a place on it.

host.py     what there is, and what of it is held
place.py    whether an instance finds a place, and on which accelerators; the words if not
visible.py  how an instance is told which accelerators are its own
warned.py   what is said beforehand of what will not fit
"""
