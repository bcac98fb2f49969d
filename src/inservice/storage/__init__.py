"""The S3 of this server: a process of its own, which answers what the gateway carries to it."""
