"""Replay: the parts of a live run over history."""
