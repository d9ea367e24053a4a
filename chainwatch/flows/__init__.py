"""Flows in the database: the checker that follows transfers, with what it reads and counts beside."""
