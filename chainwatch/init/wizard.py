"""What ``chainwatch init`` does: a few answers → a commented configuration, with the ABI files it needs beside it.

`ask` completes what the flags left open, `write_config` is pure, `create` writes the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from chainwatch.grammar.durations import parse_duration
from chainwatch.init.presets import KNOWN_NETWORKS, PRESETS, abi_text
from chainwatch.support.private_files import write_private
from chainwatch.support.spelling import nearest

OWN = "own"
"""Stands for a contract that no preset knows."""
CHOICES = (*PRESETS, OWN)
PROVIDERS = {"console": "", "discord": "DISCORD_WEBHOOK_URL", "webhook": "ALERT_WEBHOOK_URL"}
"""Provider → the environment variable that holds its URL where none is named."""
DEFAULT_STORE = "sqlite:///chainwatch.db"
CHAIN_ID = "chain_id"
"""What names networks in events unless something else is said."""

_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
_SCHEMES = ("http://", "https://", "ws://", "wss://")
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")
_NUMBER = re.compile("0|[1-9][0-9]{0,17}")
_NAME = re.compile("[A-Za-z0-9_-]+")

T = TypeVar("T")


class Prompt(Protocol):
    """Asks a question that has a default answer."""

    def __call__(self, question: str, default: str, parse: Callable[[str], T], /) -> T:
        """What ``parse`` makes of the answer; where it raises `InitError`, ask again or let the error go on."""


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
    network_by: str
    named: tuple[tuple[str, str], ...]
    """What events call each network; empty where that is the chain id."""
    destination: str
    origin: str
    """Empty where the later event does not say."""
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
    network_by: str = ""
    named: Sequence[str] = ()
    """``NETWORK=VALUE``: what events call the network where that is not its chain id."""
    destination: str = ""
    origin: str = ""
    within: str = ""


@dataclass(frozen=True)
class Created:
    """What `create` did. ``variables`` are the environment variables to set before the start."""

    config: Path
    abis_written: tuple[Path, ...]
    abis_kept: tuple[Path, ...]
    variables: tuple[str, ...]


def defaults(_question: str, default: str, parse: Callable[[str], T]) -> T:
    """The prompt that asks nobody: every answer is its default."""
    return parse(default)


def ask(given: Given, prompt: Prompt = defaults) -> Answers:
    """Complete ``given`` by asking for what it leaves open. Raises `InitError`."""
    preset = _given_or_asked(
        given.preset, prompt, f"What to watch ({', '.join(CHOICES)})", next(iter(PRESETS)), _preset
    )
    known = PRESETS[preset].networks if preset != OWN else ()
    chain_ids = (
        _chain_ids(preset, given.networks)
        if given.networks
        else prompt(
            "Networks (NAME or NAME=CHAIN_ID, with spaces between)",
            ", ".join(known),
            lambda text: _chain_ids(preset, _listed(text)),
        )
    )
    networks = _networks(chain_ids, given.rpc, prompt)
    receivers = (
        _receivers(given.receivers)
        if given.receivers
        else prompt(f"Receivers ({', '.join(PROVIDERS)})", "console", lambda text: _receivers(_listed(text)))
    )
    question = "Database (SQLite or PostgreSQL URL, or a variable)"
    store = _given_or_asked(given.store, prompt, question, DEFAULT_STORE, _database)
    own = _own_flow(given, networks, prompt) if preset == OWN else None
    return Answers(preset, networks, receivers, store, own)


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


def _given_or_asked(given: str, prompt: Prompt, question: str, default: str, parse: Callable[[str], T]) -> T:
    """What ``parse`` makes of the flag's value, or else of the answer."""
    return parse(given) if given else prompt(question, default, parse)


def _preset(text: str) -> str:
    if text not in CHOICES:
        raise InitError(f"--preset: expected one of {', '.join(CHOICES)}{_near(text, CHOICES)}")
    return text


def _database(text: str) -> str:
    return _url_or_variable("--store", text, ("sqlite:", "postgresql"))


def _chain_ids(preset: str, names: Sequence[str]) -> dict[str, int]:
    chain_ids = dict(_network(preset, text) for text in names)
    if len(chain_ids) < len(names):
        raise InitError("--network: a network is named twice")
    if preset != OWN:
        _check_reach(preset, list(chain_ids))
    if not chain_ids:
        raise InitError("--network: name at least one")
    return chain_ids


def _networks(chain_ids: Mapping[str, int], rpc: Sequence[str], prompt: Prompt) -> tuple[Network, ...]:
    endpoints: dict[str, list[str]] = {name: [] for name in chain_ids}
    for text in rpc:
        name, _, url = text.partition("=")
        if name not in endpoints or not url:
            raise InitError(
                f"--rpc: expected NETWORK=URL or NETWORK=VARIABLE, with one of {', '.join(endpoints)}"
            )
        endpoints[name].append(_endpoint(url))
    for name, urls in endpoints.items():
        if not urls:
            variable = re.sub("[^A-Z0-9]", "_", name.upper()) + "_RPC_URL"
            urls += prompt(
                f"RPC endpoints of {name} (URLs or variables, with spaces between)", variable, _endpoints
            )
    return tuple(Network(name, chain_ids[name], tuple(urls)) for name, urls in endpoints.items())


def _endpoint(text: str) -> str:
    return _url_or_variable("--rpc", text, _SCHEMES)


def _endpoints(text: str) -> list[str]:
    urls = [_endpoint(url) for url in _listed(text)]
    if not urls:
        raise InitError("--rpc: name at least one endpoint")
    return urls


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
    if not _NUMBER.fullmatch(number) or int(number) == 0:
        example = f"{name}=1234" if not name.isdigit() else f"mychain={name}"
        raise InitError(f"--network: {name} is not a known network: give its chain id, as {example}")
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
        def parse(answer: str) -> str:
            if not answer:
                raise InitError(f"--{flag}: needed with --preset {OWN}: {question}")
            if flag == "within":
                _check_duration(answer)
            return answer

        return _given_or_asked(value, prompt, question, default, parse)

    address = _addresses(given.address, networks, prompt)
    within = want("within", given.within, "The time allowed for a transfer", "30m")
    network_by = _given_or_asked(
        given.network_by,
        prompt,
        "What names networks in the events (chain_id, or an attribute such as domain)",
        CHAIN_ID,
        _network_by,
    )
    return OwnFlow(
        abi=want("abi", given.abi, "The contract's ABI file (JSON), relative to the configuration"),
        address=address,
        opens=want("opens", given.opens, "The event that opens a transfer"),
        expects=want("expects", given.expects, "The event that must follow on the destination"),
        key=want("key", given.key, "The argument that identifies a transfer in both events"),
        network_by=network_by,
        named=_named(given.named, network_by, networks, prompt) if network_by != CHAIN_ID else (),
        destination=want(
            "destination", given.destination, "The opening event's argument that names the destination"
        ),
        origin=_given_or_asked(
            given.origin,
            prompt,
            "The later event's argument that names the origin (empty: it has none)",
            "",
            str.strip,
        ),
        within=within,
    )


def _check_duration(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError as error:
        raise InitError(f"--within: {error}") from None


def _network_by(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise InitError("--network-by: expected chain_id or an attribute's name: letters, digits, - and _")
    return text


def _named(
    given: Sequence[str], network_by: str, networks: Sequence[Network], prompt: Prompt
) -> tuple[tuple[str, str], ...]:
    named = dict(text.partition("=")[::2] for text in given)
    if unknown := sorted(named.keys() - {network.name for network in networks}):
        raise InitError(f"--named: expected NETWORK=VALUE, and {unknown[0]!r} is none of the networks")
    for network in networks:
        named[network.name] = _given_or_asked(
            named.get(network.name, ""), prompt, f"The {network_by} of {network.name}", "", _name_in_events
        )
    return tuple(named.items())


def _name_in_events(text: str) -> str:
    if not text:
        raise InitError("--named: say what the events call every network, as --named NETWORK=VALUE")
    return text


def _addresses(
    given: Sequence[str], networks: Sequence[Network], prompt: Prompt
) -> tuple[tuple[str, str], ...]:
    names = {network.name for network in networks}
    addresses = {name: _address(text) for name, _, text in (pair.partition("=") for pair in given)}
    if unknown := sorted(addresses.keys() - names):
        raise InitError(f"--address: expected NETWORK=0x…, and {unknown[0]!r} is none of the networks")
    for network in networks:
        if network.name not in addresses:
            question = f"The contract's address on {network.name}"
            addresses[network.name] = prompt(question, "", _address)
    return tuple(addresses.items())


def _address(text: str) -> str:
    if not text:
        raise InitError(f"--address: needed with --preset {OWN}: where the contract is on every network")
    if not _ADDRESS.fullmatch(text):
        raise InitError("--address: an address is 0x and 40 hex digits")
    return text


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
    near = nearest(text, known)
    return f': did you mean "{near}"?' if near else ""


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
    own = answers.own

    def write(network: Network) -> str:
        known = KNOWN_NETWORKS.get(network.name)
        lines = [f"[networks.{network.name}]", f"chain_id = {network.chain_id}"]
        lines += [f"{name} = {value}" for name, value in attributes.get(network.name, {}).items()]
        if own is not None and own.named:
            value = dict(own.named)[network.name]
            lines.append(f"{own.network_by} = {value if _NUMBER.fullmatch(value) else json.dumps(value)}")
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
    origin = (
        f"# The argument that names the origin; checked against where the transfer was opened.\n"
        f"origin = {_value(own.origin)}"
        if own.origin
        else "# The argument that names the origin: without it the opening step may be on any other network.\n"
        '#origin = "originChainId"'
    )
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
