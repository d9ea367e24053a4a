"""The whole trip of a batch of blocks, in one transaction."""
