"""The screens, in the order of the navigation, and what their forms do.

A new screen is a module here, a template, and its rows in these lists.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.api.page import alerts, incidents, now, silences
from chainwatch.api.page.screen import Action, Screen

SCREENS: Sequence[Screen] = (
    *now.SCREENS,
    *alerts.SCREENS,
    *incidents.SCREENS,
    *silences.SCREENS,
)
ACTIONS: Sequence[Action] = (*alerts.ACTIONS, *incidents.ACTIONS, *silences.ACTIONS)
