"""``python -m chainwatch``: the command ``chainwatch``."""

from chainwatch.cli import main

main(prog_name="chainwatch")
