"""Objects on this host's disk: records in SQLite, data in files beside them."""
