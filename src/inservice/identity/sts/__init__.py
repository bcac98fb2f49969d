"""STS's rules: on which terms somebody becomes a role for a while."""
