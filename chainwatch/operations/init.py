"""What ``chainwatch init`` does: a few answers → a commented configuration, with the ABI files it needs beside it.

`ask` completes what the flags left open, `write_config` is pure, `create` writes the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chainwatch.config.durations import parse_duration
from chainwatch.presets import KNOWN_NETWORKS, PRESETS, abi_text
from chainwatch.private import write_private
from chainwatch.spelling import did_you_mean

OWN = "own"
"""Stands for a contract that no preset knows."""
CHOICES = (*PRESETS, OWN)
PROVIDERS = {"console": "", "discord": "DISCORD_WEBHOOK_URL", "webhook": "ALERT_WEBHOOK_URL"}
"""Provider → the environment variable that holds its URL where none is named."""
DEFAULT_STORE = "sqlite:///chainwatch.db"

_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
_SCHEMES = ("http://", "https://", "ws://", "wss://")
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")
_NAME = re.compile("[A-Za-z0-9_-]+")

Prompt = Callable[[str, str], str]
"""Question and default → answer."""


class InitError(ValueError):
    """An answer that cannot be used; the message tells what was expected and by which flag it is given."""


@dataclass(frozen=True)
class Network:
    """A chosen network. ``rpc`` holds URLs and names of environment variables."""

    name: str
    chain_id: int
    rpc: tuple[str, ...]


@dataclass(frozen=True)
class Receiver:
    """A chosen receiver. ``url`` is a URL or the name of an environment variable; empty for the console."""

    provider: str
    url: str = ""


@dataclass(frozen=True)
class OwnFlow:
    """A flow of one contract that no preset knows: two events that share a key."""

    abi: str
    address: tuple[tuple[str, str], ...]
    opens: str
    expects: str
    key: str
    destination: str
    within: str


@dataclass(frozen=True)
class Answers:
    """Everything that a configuration is written from. ``own`` is set exactly when ``preset`` is `OWN`."""

    preset: str
    networks: tuple[Network, ...]
    receivers: tuple[Receiver, ...] = (Receiver("console"),)
    store: str = DEFAULT_STORE
    own: OwnFlow | None = None


@dataclass(frozen=True)
class Given:
    """What the flags say; what is empty is asked for."""

    preset: str = ""
    networks: Sequence[str] = ()
    """``NAME``, or ``NAME=CHAIN_ID`` for a network that is not known."""
    rpc: Sequence[str] = ()
    """``NETWORK=URL`` or ``NETWORK=VARIABLE``; several for one network fail over in this order."""
    receivers: Sequence[str] = ()
    """``PROVIDER``, ``PROVIDER=VARIABLE`` or ``PROVIDER=URL``."""
    store: str = ""
    abi: str = ""
    address: Sequence[str] = ()
    """``NETWORK=0x…``"""
    opens: str = ""
    expects: str = ""
    key: str = ""
    destination: str = ""
    within: str = ""


@dataclass(frozen=True)
class Created:
    """What `create` did. ``variables`` are the environment variables to set before the start."""

    config: Path
    abis_written: tuple[Path, ...]
    abis_kept: tuple[Path, ...]
    variables: tuple[str, ...]


def defaults(_question: str, default: str) -> str:
    """The prompt that asks nobody: every answer is its default."""
    return default


def ask(given: Given, prompt: Prompt = defaults) -> Answers:
    """Complete ``given`` by asking for what it leaves open. Raises `InitError`."""
    preset = given.preset or prompt(f"What to watch ({', '.join(CHOICES)})", next(iter(PRESETS)))
    if preset not in CHOICES:
        raise InitError(f"--preset: expected one of {', '.join(CHOICES)}{_near(preset, CHOICES)}")
    known = PRESETS[preset].networks if preset != OWN else ()
    names = list(given.networks) or _listed(prompt("Networks (NAME or NAME=CHAIN_ID)", ", ".join(known)))
    networks = _networks(preset, names, given.rpc, prompt)
    receivers = list(given.receivers) or _listed(prompt(f"Receivers ({', '.join(PROVIDERS)})", "console"))
    return Answers(
        preset,
        networks,
        _receivers(receivers),
        given.store or prompt("Database (SQLite or PostgreSQL URL, or a variable)", DEFAULT_STORE),
        _own_flow(given, networks, prompt) if preset == OWN else None,
    )


def write_config(answers: Answers) -> str:
    """The text of the configuration file; it loads once the variables it names are set."""
    parts = [_head(answers), _store(answers), *map(_network_writer(answers), answers.networks)]
    if answers.own is not None:
        parts.append(_own_text(answers.own))
    else:
        preset = PRESETS[answers.preset]
        parts.append(
            f"# --- {preset.title}: its contracts, and what a transfer is ---\n\n"
            + preset.write([network.name for network in answers.networks])
        )
    return "\n".join([*parts, _receivers_text(answers), _routes_text(answers)])


def create(answers: Answers, path: Path, force: bool = False) -> Created:
    """Write the configuration to ``path``, and beside it the ABI files that are not there yet.

    Raises `InitError` when ``path`` exists, unless ``force``.
    """
    if path.exists() and not force:
        raise InitError(f"{path} exists already: name another file, or overwrite it with --force")
    abis = PRESETS[answers.preset].abis if answers.own is None else ()
    files = {path.parent / "abi" / f"{name}.json": abi_text(name) for name in abis}
    missing = {file: text for file, text in files.items() if not file.exists()}
    config = write_config(answers)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, text in missing.items():
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        write_private(path, config)  # it may hold keys
    except OSError as error:
        raise InitError(f"{error.filename or path} cannot be written: {error.strerror}") from error
    return Created(path, tuple(missing), tuple(f for f in files if f not in missing), _variables(answers))


# --- answers ------------------------------------------------------------------------------------------


def _networks(preset: str, names: Sequence[str], rpc: Sequence[str], prompt: Prompt) -> tuple[Network, ...]:
    chain_ids = dict(_network(preset, text) for text in names)
    if len(chain_ids) < len(names):
        raise InitError("--network: a network is named twice")
    if preset != OWN:
        _check_reach(preset, list(chain_ids))
    if not chain_ids:
        raise InitError("--network: name at least one")
    endpoints: dict[str, list[str]] = {name: [] for name in chain_ids}
    for text in rpc:
        name, _, url = text.partition("=")
        if name not in endpoints or not url:
            raise InitError(
                f"--rpc: expected NETWORK=URL or NETWORK=VARIABLE, with one of {', '.join(endpoints)}"
            )
        endpoints[name].append(_url_or_variable("--rpc", url, _SCHEMES))
    for name, urls in endpoints.items():
        if not urls:
            variable = re.sub("[^A-Z0-9]", "_", name.upper()) + "_RPC_URL"
            answer = prompt(f"RPC endpoints of {name} (URLs or variables)", variable)
            urls += [_url_or_variable("--rpc", url, _SCHEMES) for url in _listed(answer)]
    return tuple(Network(name, chain_ids[name], tuple(urls)) for name, urls in endpoints.items())


def _network(preset: str, text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not _NAME.fullmatch(name):
        raise InitError(f"--network: {name!r} is no name: letters, digits, - and _ only")
    if preset != OWN and name not in PRESETS[preset].networks:
        known = PRESETS[preset].networks
        raise InitError(
            f"--network: {preset} is known on {', '.join(known)}, not on {name}{_near(name, known)}"
        )
    if not number and name in KNOWN_NETWORKS:
        return name, KNOWN_NETWORKS[name].chain_id
    if not number.isascii() or not number.isdigit() or int(number) == 0:
        raise InitError(f"--network: {name} is not a known network: give its chain id, as {name}=1234")
    if name in KNOWN_NETWORKS and int(number) != KNOWN_NETWORKS[name].chain_id:
        raise InitError(f"--network: the chain id of {name} is {KNOWN_NETWORKS[name].chain_id}")
    return name, int(number)


def _check_reach(preset: str, names: Sequence[str]) -> None:
    hub = PRESETS[preset].hub
    if hub and hub not in names:
        raise InitError(f"--network: {preset} needs {hub} too: every transfer starts or ends there")
    if len(names) < 2:
        raise InitError(f"--network: {preset} needs two networks at least")


def _receivers(texts: Sequence[str]) -> tuple[Receiver, ...]:
    receivers: dict[str, Receiver] = {"console": Receiver("console")}
    for text in texts:
        provider, _, url = text.partition("=")
        if provider not in PROVIDERS:
            raise InitError(
                f"--receiver: expected one of {', '.join(PROVIDERS)}{_near(provider, tuple(PROVIDERS))}"
            )
        if provider != "console":
            url = _url_or_variable("--receiver", url or PROVIDERS[provider], ("http://", "https://"))
            receivers[provider] = Receiver(provider, url)
    return tuple(receivers.values())


def _own_flow(given: Given, networks: Sequence[Network], prompt: Prompt) -> OwnFlow:
    def want(flag: str, value: str, question: str, default: str = "") -> str:
        answer = value or prompt(question, default)
        if not answer:
            raise InitError(f"--{flag}: needed with --preset {OWN}: {question}")
        return answer

    address = [text.partition("=")[::2] for text in given.address]
    if unknown := [name for name, _ in address if name not in {n.name for n in networks}]:
        raise InitError(f"--address: expected NETWORK=0x…, and {unknown[0]!r} is none of the networks")
    for network in networks:
        if network.name not in dict(address):
            question = f"The contract's address on {network.name}"
            address.append((network.name, want("address", "", question)))
    if not all(_ADDRESS.fullmatch(text) for _, text in address):
        raise InitError("--address: an address is 0x and 40 hex digits")
    within = want("within", given.within, "The time allowed for it", "30m")
    try:
        parse_duration(within)
    except ValueError as error:
        raise InitError(f"--within: {error}") from None
    return OwnFlow(
        abi=want("abi", given.abi, "The contract's ABI file (JSON), relative to the configuration"),
        address=tuple(address),
        opens=want("opens", given.opens, "The event that opens a transfer"),
        expects=want("expects", given.expects, "The event that must follow on the destination"),
        key=want("key", given.key, "The argument that identifies a transfer in both events"),
        destination=want("destination", given.destination, "The argument with the destination's chain id"),
        within=within,
    )


def _url_or_variable(flag: str, text: str, schemes: tuple[str, ...]) -> str:
    if not _VARIABLE.fullmatch(text) and not text.startswith(schemes):
        # The text is not repeated: it may be a secret.
        raise InitError(
            f"{flag}: expected a variable's name in capitals, or a URL that starts with {', '.join(schemes)}"
        )
    return text


def _listed(text: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", text) if part]


def _near(text: str, known: Sequence[str]) -> str:
    hint = did_you_mean(text, known)
    return f" ({hint})" if hint else ""


# --- text ---------------------------------------------------------------------------------------------


def _head(answers: Answers) -> str:
    variables = _variables(answers)
    needed = f"# To be set before the start: {', '.join(variables)}.\n" if variables else ""
    return (
        "# chainwatch's configuration. `chainwatch check` tells every mistake, `chainwatch check --online` asks the\n"
        '# endpoints too. Durations are "90s", "30m", "3h"; ${NAME} takes an environment variable; relative paths\n'
        "# refer to this file's folder.\n" + needed
    )


def _store(answers: Answers) -> str:
    return (
        "# Where everything is kept: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.\n"
        f"[store]\nurl = {_value(answers.store)}\n"
    )


def _network_writer(answers: Answers) -> Callable[[Network], str]:
    attributes = PRESETS[answers.preset].attributes if answers.preset in PRESETS else {}

    def write(network: Network) -> str:
        known = KNOWN_NETWORKS.get(network.name)
        lines = [f"[networks.{network.name}]", f"chain_id = {network.chain_id}"]
        lines += [f"{name} = {value}" for name, value in attributes.get(network.name, {}).items()]
        lines.append(f"rpc = [{', '.join(map(_value, network.rpc))}]")
        if known is None:
            lines.append("# Usual time between blocks; without it the network never counts as stalled.")
            lines.append('#block_time = "2s"')
        else:
            lines.append(f'block_time = "{known.block_time}"')
            if known.stall_after:
                lines.append(f'stall_after = "{known.stall_after}"')
        lines.append("# First block to read, on the first run only. Default: the head at that time.")
        lines.append("#start_block = 0")
        return "\n".join(lines) + "\n"

    return write


def _own_text(own: OwnFlow) -> str:
    addresses = "\n".join(f"{network} = {_value(address)}" for network, address in own.address)
    return f"""\
# --- the contract, and what a transfer is ---

[contracts.bridge]
abi = {_value(own.abi)}

[contracts.bridge.address]
{addresses}

[flows.bridge]
contract = "bridge"
# The argument, or list of arguments, that identifies a transfer in every event.
key = {_value(own.key)}

[flows.bridge.opens]
step = "open"
event = {_value(own.opens)}
# The argument that names the destination, by chain id.
destination = {_value(own.destination)}

[[flows.bridge.expects]]
step = "complete"
event = {_value(own.expects)}
on = "destination"
# The argument that names the origin: without it an event that nobody asked for cannot be told to be an orphan.
#origin = "originChainId"
# Time allowed from the opening event's block; later raises TransferOverdue.
within = {_value(own.within)}
severity = "P1"
"""


def _receivers_text(answers: Answers) -> str:
    tables = []
    for receiver in answers.receivers:
        url = f"url = {_value(receiver.url)}\n" if receiver.url else ""
        tables.append(f'[receivers.{receiver.provider}]\nprovider = "{receiver.provider}"\n{url}')
    return "# --- who is told ---\n\n" + "\n".join(tables)


def _routes_text(answers: Answers) -> str:
    names = [f'"{receiver.provider}"' for receiver in answers.receivers]
    everyone = ", ".join(names)
    return f"""\
# The first route that matches takes an alert. What is urgent goes to everyone at once.
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
    """A TOML string of ``text``; the name of an environment variable becomes ``${NAME}``."""
    return f'"${{{text}}}"' if _VARIABLE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _variables(answers: Answers) -> tuple[str, ...]:
    texts = [url for network in answers.networks for url in network.rpc]
    texts += [answers.store, *(receiver.url for receiver in answers.receivers)]
    return tuple(dict.fromkeys(re.findall(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", "".join(map(_value, texts)))))
