"""Rules while chainwatch runs: their samples, their evaluation, and their alerts. A companion of the monitor."""
