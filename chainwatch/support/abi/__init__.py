"""ABI-encoded values: the shapes of types, and the strict reader. Used for logs and for `decode` in expressions."""
