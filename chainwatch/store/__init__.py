"""Tables, transactions and migrations, for SQLite and PostgreSQL."""
