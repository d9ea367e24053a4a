"""Two embedded chains and a bridge between them: chainwatch without a node, a key or the internet."""
