#!/usr/bin/env python
"""Replays history through the configuration: the same as `chainwatch replay`, with the same arguments."""

import sys

from chainwatch.cli import main

if __name__ == "__main__":
    main(["replay", *sys.argv[1:]], prog_name="scripts/replay.py")
