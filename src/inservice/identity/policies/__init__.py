"""Policy documents, read once and compiled: what they say, and whether it fits a request."""
