"""What a call on an endpoint begins."""
