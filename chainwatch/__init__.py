"""chainwatch: an open monitor for cross-chain protocols."""

__version__ = "0.1.0"
