"""InService's own operations, beside AWS's."""
