"""Bridges' own compiled contracts, from their npm packages, deployed on anvil nodes: they send, and a test relays."""
