"""A data directory, damaged at random: what a stopped server's disk may do to it."""
