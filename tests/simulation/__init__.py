"""Seeded histories of the deployment engine among faults: `python -m tests.simulation --help`."""
