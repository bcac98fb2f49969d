"""Instances as containers that Podman or Docker runs: see `runtime`."""
