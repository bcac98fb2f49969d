"""The composition root: the only package that names drivers. Nothing imports it.

python -m inservice.app --settings FILE (--listen-fd N | --stop-instances)
"""
