"""Who listens: a file for each, `tap` says what they hear."""
