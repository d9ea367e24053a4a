"""The screens, in the order of the navigation, and what their forms do.

A new screen is a module here, a template, and its rows in these lists.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.api.page import now
from chainwatch.api.page.screen import Action, Screen

SCREENS: Sequence[Screen] = (*now.SCREENS,)
ACTIONS: Sequence[Action] = ()
