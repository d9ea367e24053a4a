"""docs/ready-made-rules.md, from the ready-made rules themselves."""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.rules.files import read_rule_file
from chainwatch.rules.model import AlertingRule
from chainwatch.rules.presets import PREFIX, PRESETS, Preset, rule_file

INTRODUCTION = """\
# Ready-made rules

<!-- Written by scripts/docs.py from chainwatch/rules/presets: change those, then run it. -->

[Rules](rules.md) that need only be named, over the [series that chainwatch has of itself](api.md#metrics), the values
of [invariants](invariants.md) and, for `service`, what any program pushes or is scraped for:

```toml
rule_files = ["preset:bridges", "preset:endpoints", "rules/*.yml"]
```

Thresholds are parameters. They follow the name, each as `NAME=VALUE`; matchers have no blanks between them. A preset may
stand there several times, for several routes with other limits:

```toml
rule_files = [
    'preset:bridges where=flow="usdc" amount=5000000 oldest=30m',
    'preset:bridges where=flow!="usdc"',
]
```

`chainwatch check` names a parameter that does not exist, or a value of a wrong kind. For any other change print the rule
file, edit it, and name your own file in place of the preset:

```sh
chainwatch rules presets                                    # what there is
chainwatch rules presets "bridges runway=2h" > bridges.yml  # a rule file in Prometheus' format
chainwatch rules check "preset:bridges runway=2h"
```

Amounts are in whole units of assets that `[assets]` or a network's `currency` names; others have no series. A unit test's
`rule_files` may name presets too. Those of the presets themselves are in `tests/data/rules/presets`.

Severities are labels: [routes](configuration.md#routes) choose by them who is notified. `risk_guard` adds the label
`block`, by which a route sends its alerts to a webhook that pauses the bridge, the route or the asset. To be notified
less often of the same thing, give the route a longer `repeat_interval`, or the alert a [cooldown](alerting.md).
"""
COLLATERAL = """\
Rules about what is under way leave out networks that have not been seen for ten minutes: transfers to them may have
arrived. Amounts that left within a time count by chain time, so that blocks which are read late, after an outage or at
the first start, make no outflow of an hour or a day.

`ProjectedDeficit` compares what is under way to a network with what can be paid out there: the value
`collateral_SYMBOL` of any [invariant](invariants.md) on that network, in whole units, such as `collateral_USDC`.
`RelayerBalanceRunsOut` reads values of invariants that are balances, `RateLimitNearlyUsed` two values of one invariant."""


def page() -> str:
    """The whole page in Markdown."""
    return "\n".join([INTRODUCTION, *(_section(name, preset) for name, preset in PRESETS.items())])


def _section(name: str, preset: Preset) -> str:
    parts = [
        f"## {name}",
        f"{preset.about[0].upper()}{preset.about[1:]}.",
        _table(("alert", "severity", "fires when"), _alerts(name)),
        _table(
            ("parameter", "default", "is"),
            [(f"`{key}`", _code(one.default), one.meaning) for key, one in preset.parameters.items()],
        ),
    ]
    if name == "bridges":
        parts.append(COLLATERAL)
    return "\n\n".join(parts) + "\n"


def _alerts(name: str) -> list[tuple[str, str, str]]:
    return [
        (f"`{rule.name}`", rule.labels["severity"], _code(" ".join(rule.query.text.split())))
        for group in read_rule_file(rule_file(PREFIX + name))
        for rule in group.rules
        if isinstance(rule, AlertingRule)
    ]


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`" if text else ""


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
