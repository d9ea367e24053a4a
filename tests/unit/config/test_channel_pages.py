"""The examples on the pages of the channels are configurations that load, and code that works."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli

from chainwatch.alerting.providers.webhook import sign
from chainwatch.config import read_dict
from chainwatch.config.receivers import PROVIDERS

PAGES = Path(__file__).parents[3] / "docs" / "channels"
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)\}")


def _blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in sorted(PAGES.glob("*.md")):
        for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL):
            yield page.name, block


def _value(variable: str) -> str:
    if variable == "APPRISE_URL":
        return "ntfy://topic"
    return "https://service.example/x" if variable.endswith("URL") else "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(("page", "block"), list(_blocks("toml")))
def test_an_example_loads(page: str, block: str) -> None:
    data: dict[str, Any] = tomli.loads(block)
    if not {"receivers", "monitor"} & data.keys():
        pytest.skip("a part of a configuration")
    networks = {"n": {"chain_id": 1, "rpc": ["https://rpc.example"]}}
    receivers = data.get("receivers", {"console": {"provider": "console"}})
    routes = data.get("routes", [{"receivers": list(receivers)}])
    whole = {"networks": networks, **data, "receivers": receivers, "routes": routes}
    environ = {name: _value(name) for name in VARIABLE.findall(block)}
    settings = read_dict(whole, environ).settings()
    assert settings.receivers.keys() == receivers.keys()


def test_the_example_that_checks_signatures_does() -> None:
    (code,) = [block for page, block in _blocks("python") if page == "webhook.md"]
    names: dict[str, Any] = {}
    exec(code, names)
    is_genuine, now = names["is_genuine"], int(time.time())

    def headers(timestamp: int, body: bytes) -> dict[str, str]:
        signature = sign("k3y-k3y", timestamp, body)
        return {"X-Chainwatch-Timestamp": str(timestamp), "X-Chainwatch-Signature": signature}

    assert is_genuine("k3y-k3y", headers(now, b"{}"), b"{}")
    assert not is_genuine("k3y-k3y", headers(now, b"{}"), b"{ }")
    assert not is_genuine("other-key", headers(now, b"{}"), b"{}")
    assert not is_genuine("k3y-k3y", headers(now - 301, b"{}"), b"{}")
    assert not is_genuine("k3y-k3y", {}, b"{}")


def test_every_channel_has_a_page() -> None:
    pages = {page.stem for page in PAGES.glob("*.md")}
    assert PROVIDERS.keys() - pages == set()
