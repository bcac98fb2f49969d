"""Objects in buckets, kept on this host: what can be asked of them (`base`), and who keeps them."""
