"""What one part of a configuration says about another: names that must exist, values that must differ.

Needs no ABI and no network. Every check notes its problems in the draft and says where they are.
"""

from __future__ import annotations

from chainwatch.config_draft import Draft


def cross_check(draft: Draft) -> None:
    """Note in ``draft`` every contradiction between its parts."""
