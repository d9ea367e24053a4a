"""Results as tables and text for people, and as JSON for machines."""
