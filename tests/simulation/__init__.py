"""Seeded histories of the shipped controller among faults: `python -m tests.simulation --help`.

`loop` is the time and the processes, `host` and `workers` what is around control, `control` one
life of it, `world` what befalls it, `rules` and `watch` what must hold, `history` what callers do,
and `mutants` the proof that a bug would be seen.
"""
