"""What the model server does with an artifact that brings no code: one file per framework."""
