"""The room of upkeep: tidying, measuring, being scraped."""
