"""Helpers that know nothing of bridges or alerts: clocks, name resolution, supervision, text."""
