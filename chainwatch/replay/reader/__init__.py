"""Reads history for a replay: ranges of blocks as one stream of batches, here or in another process."""
