"""Gateway and model server beside serving frameworks, all with the same model."""
