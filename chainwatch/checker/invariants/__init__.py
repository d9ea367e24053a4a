"""Invariants: what is read for them, and whether they hold. Pure."""
