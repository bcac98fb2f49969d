"""What the rooms of the controller share."""
