"""The text of the configuration that `chainwatch init` writes. No I/O."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Sequence

from chainwatch.init.answers import NUMBER, VARIABLE, Answers, ChosenNetwork, OwnFlow
from chainwatch.init.presets import KNOWN_NETWORKS, PRESETS, Preset, address_table
from chainwatch.init.proposal import ProposedFlow

INVARIANTS = """\
# What must hold, checked once a minute, and at the block of each event in `events`; docs/invariant-kinds.md has every kind
# and its parameters. Where no expected value is given (`owner`, `expected`, …), what is read first counts as right: look at
# it once, by `chainwatch invariants show NAME`. A later change fires until it is undone, or accepted as right:
# `chainwatch invariants accept NAME`.
"""
"""What stands above the invariants of a preset."""


def write_config(answers: Answers) -> str:
    """Return the text of the configuration file; it loads once the variables it names are set."""
    parts = [_head(answers), _store(answers), *map(_network_writer(answers), answers.networks)]
    if answers.own is not None:
        parts.append(_own_text(answers.own))
    elif answers.proposal is not None:
        parts.append(_proposal_text(answers.proposal))
    else:
        preset = PRESETS[answers.preset]
        parts.append(_preset_text(preset, answers))
    return "\n".join([*parts, _receivers_text(answers), _routes_text(answers)])


def variables(answers: Answers) -> tuple[str, ...]:
    """Return the environment variables that the configuration names."""
    texts = [url for network in answers.networks for url in network.rpc]
    texts += [answers.store, *(receiver.url for receiver in answers.receivers)]
    return tuple(dict.fromkeys(re.findall(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", "".join(map(_value, texts)))))


def _head(answers: Answers) -> str:
    names = variables(answers)
    needed = f"# Environment variables to set before the start: {', '.join(names)}.\n" if names else ""
    return (
        "# chainwatch's configuration. `chainwatch check` lists every mistake; with --online it also asks every\n"
        '# endpoint. Durations are "90s", "30m", "3h"; ${NAME} takes an environment variable; relative paths\n'
        "# refer to this file's folder.\n" + needed
    )


def _store(answers: Answers) -> str:
    return (
        "# The database: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.\n"
        f"[store]\nurl = {_value(answers.store)}\n"
    )


def _network_writer(answers: Answers) -> Callable[[ChosenNetwork], str]:
    attributes = PRESETS[answers.preset].attributes if answers.preset in PRESETS else {}
    chosen = answers.own or answers.proposal

    def write(network: ChosenNetwork) -> str:
        known = KNOWN_NETWORKS.get(network.name)
        lines = [f"[networks.{network.name}]", f"chain_id = {network.chain_id}"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in attributes.get(network.name, {}).items()]
        by, named = ("", ()) if chosen is None else (chosen.network_by, chosen.named)
        if network.name in dict(named):
            value = str(dict(named)[network.name])
            lines.append(f"{by} = {value if NUMBER.fullmatch(value) else json.dumps(value)}")
        elif named:
            lines.append(f"#{by} = 0  # what events call this network")
        lines.append(f"rpc = [{', '.join(map(_value, network.rpc))}]")
        if known is None:
            lines.append("# Usual time between blocks; without it the network never counts as stalled.")
            lines.append('#block_time = "2s"')
        else:
            lines.append(f'block_time = "{known.block_time}"')
            if known.stall_after:
                lines.append(f'stall_after = "{known.stall_after}"')
            if known.explorer:
                lines.append(f'explorer = "{known.explorer}"')
        lines.append("# First block to read, on the first run only. Default: the head at that time.")
        lines.append("#start_block = 0")
        return "\n".join(lines) + "\n"

    return write


def _preset_text(preset: Preset, answers: Answers) -> str:
    names = [network.name for network in answers.networks]
    addresses = {name: [address for network, address in answers.address if network == name] for name in names}
    own = preset.own_contract and address_table(preset.own_contract, preset.abis[0], addresses, names)
    flows, invariants = preset.flows(names), preset.invariants(names)
    contents = [*(["the flow of a transfer"] if flows else []), *(["what must hold"] if invariants else [])]
    return (
        f"# --- {preset.title}: its contracts, {' and '.join(contents)} ---\n\n"
        + own
        + preset.contracts(names)
        + "\n"
        + "".join(map(_comment, preset.explanation()))
        + flows
        + (f"\n{INVARIANTS}{invariants}" if invariants else "")
    )


def _comment(text: str) -> str:
    return (
        textwrap.fill(text, 108, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False) + "\n"
    )


def _own_text(own: OwnFlow) -> str:
    addresses = "\n".join(f"{network} = {_value(address)}" for network, address in own.address)
    origin = (
        f"# The argument that names the origin; checked against where the transfer was opened.\n"
        f"origin = {_value(own.origin)}"
        if own.origin
        else "# The argument that names the origin: without it, any other network may be the origin.\n"
        '#origin = "originChainId"'
    )
    return f"""\
# --- the contract, and the flow of a transfer ---

[contracts.bridge]
abi = {_value(own.abi)}

[contracts.bridge.address]
{addresses}

[flows.bridge]
contract = "bridge"
# The argument, or list of arguments, that identifies a transfer in every event.
key = {_value(own.key)}
# The key of [networks.NAME] whose value the events use for a network.
network_by = {_value(own.network_by)}

[flows.bridge.opens]
step = "open"
event = {_value(own.opens)}
# The argument that names the destination.
destination = {_value(own.destination)}

[[flows.bridge.expects]]
step = "complete"
event = {_value(own.expects)}
on = "destination"
{origin}
# Time allowed, counted from the opening event's block. After it TransferOverdue is raised.
within = {_value(own.within)}
severity = "P1"
"""


def _proposal_text(flow: ProposedFlow) -> str:
    """Return the contracts and the flow that were proposed, with what is unsure of it as comments."""
    tables = []
    for contract in flow.contracts:
        addresses = "\n".join(f"{network} = {_value(address)}" for network, address in contract.addresses)
        name = contract.name
        tables.append(
            f"[contracts.{name}]\nabi = {_value(contract.abi)}\n\n[contracts.{name}.address]\n{addresses}\n"
        )
    unsure = "".join(_comment(doubt(text)) for text in flow.unsure)
    where = _line("where", flow.where) + _line("on", flow.on)
    shown = _line("amount", flow.amount) + _line("asset", flow.asset)
    other = _line("contract", flow.expects[0]) if flow.expects[0] != flow.opens[0] else ""
    key = f"key = {_list(flow.step_key)}\n" if flow.step_key != flow.key else ""
    return f"""\
# --- the contracts, and the flow that the two transactions of one transfer have in common ---

{"".join(f"{table}{chr(10)}" for table in tables)}{unsure}[flows.bridge]
contract = {_value(flow.opens[0])}
# What identifies a transfer, in the opening event; below in the later one.
key = {_list(flow.key)}
# The key of [networks.NAME] whose value the events use for a network.
network_by = {_value(flow.network_by)}

[flows.bridge.opens]
step = "open"
event = {_value(flow.opens[1])}
{where}destination = {json.dumps(flow.destination)}
{shown}
[[flows.bridge.expects]]
step = "complete"
{other}event = {_value(flow.expects[1])}
{key}on = "destination"
{_line("origin", flow.origin)}# Time allowed, counted from the opening event's block. After it TransferOverdue is raised.
within = {_value(flow.within)}
severity = "P1"
"""


def doubt(text: str) -> str:
    """Return as a sentence what is unsure of a proposed flow."""
    return f"Check: {text}" + ("" if text.endswith("?") else ".")


def _line(key: str, text: str) -> str:
    return f"{key} = {json.dumps(text, ensure_ascii=False)}\n" if text else ""


def _list(texts: Sequence[str]) -> str:
    shown = [json.dumps(text, ensure_ascii=False) for text in texts]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def _receivers_text(answers: Answers) -> str:
    tables = []
    for receiver in answers.receivers:
        url = f"url = {_value(receiver.url)}\n" if receiver.url else ""
        tables.append(f'[receivers.{receiver.provider}]\nprovider = "{receiver.provider}"\n{url}')
    return "# --- receivers of notifications ---\n\n" + "\n".join(tables)


def _routes_text(answers: Answers) -> str:
    names = [f'"{receiver.provider}"' for receiver in answers.receivers]
    everyone = ", ".join(names)
    return f"""\
# An alert takes the first route that matches it. Urgent alerts are sent to every receiver at once.
[[routes]]
match = {{ severity = ["P0", "P1"] }}
receivers = [{everyone}]
group_by = ["alertname", "destination"]

[[routes]]
receivers = [{everyone}]
group_wait = "30s"
group_interval = "5m"
repeat_interval = "12h"
"""


def _value(text: str) -> str:
    """Return a TOML string of ``text``; the name of an environment variable becomes ``${NAME}``."""
    return f'"${{{text}}}"' if VARIABLE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
