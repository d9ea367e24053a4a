"""What the screens of invariants, rules and queries show at their worst: texts that anybody may write, of any length."""

from __future__ import annotations

import time
from typing import Any

from chainwatch.promql.series import Labels
from chainwatch.rules.placed import rule_keys
from chainwatch.store import invariant_breaches, invariants, rule_alerts
from chainwatch.store.invariant_breaches import Breach
from chainwatch.store.invariants import Check, RaisedAlert, Reading
from chainwatch.store.rule_alerts import StoredRuleAlert
from tests.support.served_page import HOSTILE, ServedPage

SAFE = "0x" + "5a" * 20
TOTAL = "function totalSupply() view returns (uint256)"
HEARD = "function name() view returns (string)"
LONG = HOSTILE.replace("{{ 7*7 }}", "") + "w" * 10_000
NAME = "<script>document.title='owned'</script>\u202egnp.\u202c<img/src=x/onerror=alert(1)>"
"""A name of the configuration, which may have no spaces."""
WORD = NAME + "w" * 9_000
LOCKED, MINTED = 1_204_500_000, 1_310_000_000


def tables() -> dict[str, Any]:
    """Return the tables of the configuration beside those of the page's own."""
    token = {"address": SAFE, "call": TOTAL}
    name = {"network": "ethereum", "address": SAFE, "call": HEARD}
    return {
        "assets": {"usdc": {"symbol": "USDC", "decimals": 6, "address": SAFE}},
        "invariants": {
            "backed": {
                "severity": "P0",
                "values": {
                    "locked": {"network": "ethereum", **token},
                    "minted": {"network": "base", **token},
                },
                "assert": "locked >= minted",
            },
            NAME: {"values": {"name": name}, "assert": f'name != "{"w" * 9_000}"'},
            "listed": {
                "for_each": {"word": ["<b>bold</b>", WORD]},
                "values": {"name": name},
                "assert": 'name != "${word}"',
            },
        },
        "rules": [
            {
                "alert": HOSTILE,
                "query": f'vector(1) unless depth{{queue="{"q" * 10_000}"}}',
                "severity": "P1",
                "labels": {"word": LONG},
                "annotations": {"summary": LONG},
            },
            {"record": "depth:max", "query": "max by (queue) (depth)"},
        ],
    }


def fill(page: ServedPage) -> None:
    """What one of them read in the last minutes, what broke it, and what a chain may answer."""
    now = int(time.time())
    with page.access.database.transaction() as connection:
        for number in range(4):
            at, positions = now - 40 + 12 * number, {"ethereum": 100 + number, "base": 200 + number}
            check = Check("ethereum", 100 + number, at, False, positions, holds=number < 2)
            invariants.add_checks(connection, [("backed", check)])
            values = {"ethereum": {"locked": LOCKED}, "base": {"minted": LOCKED if number < 2 else MINTED}}
            invariants.add_readings(
                connection,
                [
                    Reading("backed", network, positions[network], bytes(32), at, False, content)
                    for network, content in values.items()
                ],
            )
        raised = RaisedAlert("backed", "InvariantViolated", "ethereum", 102, {"a": "b"}, {}, now - 16)
        invariants.save_raised(connection, raised)
        read = f"locked = {LOCKED}, minted = {MINTED}"
        for block, starts_at, ends_at in ((12, now - 9_000, now - 8_000), (102, now - 16, None)):
            breach = Breach("backed", "ethereum", block, starts_at, read, {}, {}, block - 1, starts_at - 12)
            invariant_breaches.save(connection, breach._replace(ends_at=ends_at, is_searched=True))
        for name in (NAME, "listed:<b>bold</b>", f"listed:{WORD}"):
            failed = Check("ethereum", 104, now - 4, False, {"ethereum": 104}, None, LONG[:300])
            answered = Check("ethereum", 103, now - 16, False, {"ethereum": 103}, True)
            invariants.add_checks(connection, [(name, answered), (name, failed)])
            content = {"name": LONG}
            invariants.add_readings(
                connection, [Reading(name, "ethereum", 103, bytes(32), now - 16, False, content)]
            )
        (placed,) = [one for one in page.plan.rule_groups if one.group.rules[0].name == HOSTILE][:1]
        key = rule_keys(placed.group.name, placed.group)[0]
        labels = {"alertname": HOSTILE, "word": LONG, "queue": "\u202eevil"}
        rule_alerts.save(
            connection, [StoredRuleAlert(key, "1", labels, "firing", now * 1000, now * 1000, None, None, now)]
        )
    times = [(now - 600 + 15 * index) * 1000 for index in range(40)]
    series = []
    for network, value, numbers in (
        ("ethereum", "locked", (LOCKED, LOCKED)),
        ("base", "minted", (LOCKED, MINTED)),
    ):
        named = {
            "__name__": "chainwatch_invariant_value",
            "invariant": "backed",
            "element": "",
            "value": value,
        }
        series.append((Labels({**named, "network": network}), times, numbers_of(*numbers)))
    queues = (HOSTILE, "w" * 4_000, "\u202eevil")
    series += [(Labels({"__name__": "depth", "queue": queue}), times, numbers_of(0, 9)) for queue in queues]
    page.samples.append(series, now * 1000)


def numbers_of(before: float, after: float) -> list[float]:
    """Return what a series has at 40 times: ``after`` in the end, ``before`` until then."""
    return [float(after if index > 30 else before) for index in range(40)]
