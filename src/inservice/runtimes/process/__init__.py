"""Instances as processes of this host."""
