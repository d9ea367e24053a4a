"""The calls at the root: channels, which are created while chainwatch runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chainwatch.api.calls import Call
from chainwatch.operations import channels


def _without_secrets(given: Mapping[str, Any]) -> str:
    return json.dumps({**given, "config": channels.without_secrets(given["type"], given["config"])})


CALLS = (
    Call("GET", "/channels", channels.list_channels, "Channels, without their secrets"),
    Call("GET", "/channels/{id}", channels.show_channel, "One channel, without its secrets"),
    Call("POST", "/channels", channels.add_channel, "Create a receiver", 201, True, _without_secrets),
    Call("DELETE", "/channels/{id}", channels.delete_channel, "Delete a channel", extends=True),
)
