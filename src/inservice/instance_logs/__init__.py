"""The logs of instances: one writer and one reader of their layout."""
