"""How a replay reads history: ranges of blocks as one stream, here or in a process of its own."""
