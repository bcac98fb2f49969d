"""What the store is kept in: SQLite or PostgreSQL. `app` opens it, and nobody else imports this."""
