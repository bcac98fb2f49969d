"""How clients speak: a file for each way, `invoke.Dialect` says what they have in common."""
