"""Steps from one version of the tables to the next, run at start inside one transaction."""
