"""The screens, in the order of the navigation, and what their forms do.

A new screen is a module here, a template, and its rows in these lists.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.api.page import (
    alerts,
    configuration,
    deliveries,
    incidents,
    invariants,
    networks,
    now,
    oncall,
    rules,
    silences,
    transfers,
)
from chainwatch.api.page.screen import Action, Screen

SCREENS: Sequence[Screen] = (
    *now.SCREENS,
    *alerts.SCREENS,
    *incidents.SCREENS,
    *silences.SCREENS,
    *transfers.SCREENS,
    *networks.SCREENS,
    *invariants.SCREENS,
    *rules.SCREENS,
    *deliveries.SCREENS,
    *oncall.SCREENS,
    *configuration.SCREENS,
)
ACTIONS: Sequence[Action] = (
    *alerts.ACTIONS,
    *incidents.ACTIONS,
    *invariants.ACTIONS,
    *silences.ACTIONS,
    *deliveries.ACTIONS,
    *oncall.ACTIONS,
    *configuration.ACTIONS,
)
