"""What control does for endpoints."""
