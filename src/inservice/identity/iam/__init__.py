"""IAM's records as values: what there is, how it is named, how much of it there may be."""
