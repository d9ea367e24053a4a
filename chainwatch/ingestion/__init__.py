"""Parsers of samples that other programs push or are scraped for: bounded, pure, with a typed error for every input."""
