"""The checker of invariants: what must always hold on the chains, read at blocks by their hashes."""
