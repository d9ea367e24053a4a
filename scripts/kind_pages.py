"""docs/invariant-kinds.md, from the tables of kinds."""

from __future__ import annotations

from chainwatch.config.kinds import Family, Kind, families
from chainwatch.operations.kinds import example_text, parameters_of

INTRODUCTION = """\
# Kinds of invariants

<!-- Written by scripts/docs.py from chainwatch/config/kinds/tables: change those, then run it. -->

A kind is an [invariant](invariants.md) that is written already: name it, give its parameters, and its values, condition,
severity and message come with it. `severity`, `every`, `for`, `align`, `message` and `runbook_url` beside the parameters
replace the kind's own; of kinds that have no condition on values, `severity`, `message` and `runbook_url` do.

```toml
[invariants.treasury-owners]
kind = "safe_owners"
network = "ethereum"
safe = "0x…"
owners = ["0x…", "0x…", "0x…"]
runbook_url = "https://runbooks.example.org/safe"
```

With [`for_each`](invariants.md) there is one of each element, and an alert of its own:

```toml
[invariants.owners-live]
for_each.owner = { network = "ethereum", address = "0x…", call = "function getOwners() view returns (address[])" }
kind = "safe_liveness"
network = "ethereum"
module = "0x…"
guard = "0x…"
owners = "${owner}"
```

`chainwatch check` names the parameter of every mistake, `chainwatch invariants test NAME` reads the values now, and
`chainwatch invariants kinds [NAME]` shows this list. Amounts are in whole tokens, of `decimals`. Addresses in the examples
are public contracts and accounts: put your own there.

What else is watched, and by what:

- Heads that differ between endpoints, and endpoints that lag: every network by itself, see
  [`LogsDisputed`, `NetworkLagging` and `EndpointDegraded`](alerts.md).
- Transfers that are late, forged, repeated or changed: [flows](writing-a-flow.md) and their [presets](presets.md).
- A message without its deposit in the same receipt: a flow whose opening names the deposit as
  [a sibling](writing-a-flow.md#two-events-of-one-transaction), receipt by receipt; `deposits`, block by block.
- Withdrawals that the L2 never sent (Monitorism `withdrawals`, `faultproof_withdrawals`): the
  [preset `op-stack`](presets.md#op-stack-withdrawals).

`eth_conservation` and `transactions` read whole blocks, and `withdrawal_proofs` the calldata of transactions: what each
takes of an endpoint is said there. `sender` finds by state and events alone, at any endpoint, that an account does
something else than usual.
"""


def page() -> str:
    """The whole page in Markdown."""
    contents = "\n".join(
        f"- {family.title}: " + ", ".join(f"[`{kind.name}`](#{kind.name})" for kind in family.kinds)
        for family in families()
    )
    return "\n".join([INTRODUCTION, contents, "", *map(_family, families())])


def _family(family: Family) -> str:
    return "\n\n".join([f"## {family.title}", family.about, *map(_kind, family.kinds)]) + "\n"


def _kind(kind: Kind) -> str:
    rows = [
        f"| `{one.name}` | {one.type} | {'required' if one.required else _code(one.default)} | {one.meaning} |"
        for one in parameters_of(kind)
    ]
    condition = " and ".join(kind.template.get("assert", []))
    holds = f" Holds while `{condition}`." if condition else ""
    return "\n".join(
        [
            f"### `{kind.name}`",
            "",
            f"{kind.about} {kind.template['severity']}.{holds} *After:* {kind.source}",
            "",
            "| parameter | type | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
            f"```toml\n{example_text(kind)}\n```",
        ]
    )


def _code(text: str) -> str:
    return f"`{text}`" if text else "—"
