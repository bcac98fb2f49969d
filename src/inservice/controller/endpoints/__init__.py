"""The room of endpoints: look, decide, remember, do."""
