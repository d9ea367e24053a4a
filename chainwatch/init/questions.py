"""The questions of `chainwatch init`: ask for what no flag gives, and check every answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from chainwatch.init.answers import (
    CHAIN_ID,
    CHOICES,
    DEFAULT_STORE,
    NUMBER,
    OWN,
    VARIABLE,
    Answers,
    ChosenNetwork,
    ChosenReceiver,
    InitError,
    OwnFlow,
    providers,
)
from chainwatch.init.given import Given, Prompt
from chainwatch.init.parsing import NAME, check_duration, listed, near, parse_address, parse_attribute
from chainwatch.init.presets import KNOWN_NETWORKS, PRESETS, Preset
from chainwatch.init.transfer_questions import ask_transfer

__all__ = ["Given", "Prompt", "ask", "defaults"]

_SCHEMES = ("http://", "https://", "ws://", "wss://")

DEFAULT_NETWORKS = 6
"""How many networks, the main ones, a configuration has unless others are chosen or the preset says otherwise."""

T = TypeVar("T")


def defaults(_question: str, default: str, parse: Callable[[str], T]) -> T:
    """Answer with the default, as the prompt without a terminal."""
    return parse(default)


def ask(given: Given, prompt: Prompt = defaults) -> Answers:
    """Ask for what ``given`` lacks, and return all answers. Raises `InitError`."""
    preset = _given_or_asked(
        given.preset, prompt, f"What to watch ({', '.join(CHOICES)})", next(iter(PRESETS)), _preset
    )
    known = _main_networks(PRESETS[preset]) if preset != OWN else ()
    chain_ids = (
        _chain_ids(preset, given.networks)
        if given.networks
        else prompt(
            "Networks (NAME or NAME=CHAIN_ID, separated by spaces)",
            ", ".join(known),
            lambda text: _chain_ids(preset, listed(text)),
        )
    )
    networks = _networks(chain_ids, given.rpc, prompt)
    receivers = (
        _receivers(given.receivers)
        if given.receivers
        else prompt(f"Receivers ({', '.join(providers())})", "console", lambda text: _receivers(listed(text)))
    )
    question = "Database (SQLite or PostgreSQL URL, or a variable)"
    store = _given_or_asked(given.store, prompt, question, DEFAULT_STORE, _database)
    transfer = ask_transfer(given, networks, prompt) if preset == OWN else None
    own = _own_flow(given, networks, prompt) if preset == OWN and transfer is None else None
    address = _preset_addresses(given, preset, networks, prompt) if preset != OWN else ()
    return Answers(preset, networks, receivers, store, own, address, transfer)


# --- answers ------------------------------------------------------------------------------------------


def _given_or_asked(given: str, prompt: Prompt, question: str, default: str, parse: Callable[[str], T]) -> T:
    """Return the flag's value, or else the answer, as parsed by ``parse``."""
    return parse(given) if given else prompt(question, default, parse)


def _preset(text: str) -> str:
    if text not in CHOICES:
        raise InitError(f"--preset: expected one of {', '.join(CHOICES)}{near(text, CHOICES)}")
    return text


def _database(text: str) -> str:
    return _url_or_variable("--store", text, ("sqlite:", "postgresql"))


def _chain_ids(preset: str, names: Sequence[str]) -> dict[str, int]:
    chain_ids = dict(_network(preset, text) for text in names)
    if len(chain_ids) < len(names):
        raise InitError("--network: a network is given twice; give each once")
    if preset != OWN:
        _check_reach(preset, list(chain_ids))
    if not chain_ids:
        raise InitError("--network: give at least one network")
    return chain_ids


def _networks(chain_ids: Mapping[str, int], rpc: Sequence[str], prompt: Prompt) -> tuple[ChosenNetwork, ...]:
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
                f"RPC endpoints of {name} (URLs or variables, separated by spaces)", variable, _endpoints
            )
    return tuple(ChosenNetwork(name, chain_ids[name], tuple(urls)) for name, urls in endpoints.items())


def _endpoint(text: str) -> str:
    return _url_or_variable("--rpc", text, _SCHEMES)


def _endpoints(text: str) -> list[str]:
    urls = [_endpoint(url) for url in listed(text)]
    if not urls:
        raise InitError("--rpc: give at least one endpoint")
    return urls


def _network(preset: str, text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not NAME.fullmatch(name):
        raise InitError(f"--network: {name!r} is not a name: use letters, digits, - and _ only")
    if preset != OWN and name not in PRESETS[preset].networks:
        known = PRESETS[preset].networks
        raise InitError(
            f"--network: {preset} is known on {', '.join(known)}, not on {name}{near(name, known)}"
        )
    if not number and name in KNOWN_NETWORKS:
        return name, KNOWN_NETWORKS[name].chain_id
    if not NUMBER.fullmatch(number) or int(number) == 0:
        example = f"{name}=1234" if not name.isdigit() else f"mychain={name}"
        raise InitError(f"--network: {name} is not a known network: give its chain id, as {example}")
    if name in KNOWN_NETWORKS and int(number) != KNOWN_NETWORKS[name].chain_id:
        raise InitError(f"--network: the chain id of {name} is {KNOWN_NETWORKS[name].chain_id}")
    return name, int(number)


def _check_reach(preset: str, names: Sequence[str]) -> None:
    hub = PRESETS[preset].hub
    if hub and hub not in names:
        raise InitError(
            f"--network: {preset} needs {hub} too, as every transfer starts or ends there; add it"
        )
    if len(names) < PRESETS[preset].fewest_networks:
        raise InitError(f"--network: {preset} needs at least two networks; add another")
    most = PRESETS[preset].most_networks
    if most and len(names) > most:
        raise InitError(f"--network: {preset} watches {most} networks; leave out the others")


def _main_networks(preset: Preset) -> tuple[str, ...]:
    """Return the networks that a configuration has unless others are chosen."""
    return preset.networks[: preset.most_networks or DEFAULT_NETWORKS]


def _receivers(texts: Sequence[str]) -> tuple[ChosenReceiver, ...]:
    receivers: dict[str, ChosenReceiver] = {"console": ChosenReceiver("console")}
    for text in texts:
        provider, _, url = text.partition("=")
        if provider not in providers():
            raise InitError(
                f"--receiver: expected one of {', '.join(providers())}{near(provider, tuple(providers()))}"
            )
        if providers()[provider]:
            url = _url_or_variable("--receiver", url or providers()[provider], ("http://", "https://"))
            receivers[provider] = ChosenReceiver(provider, url)
    return tuple(receivers.values())


def _preset_addresses(
    given: Given, preset: str, networks: Sequence[ChosenNetwork], prompt: Prompt
) -> tuple[tuple[str, str], ...]:
    """Return the addresses of the contract that only the user knows; refuse them where the preset knows all."""
    if PRESETS[preset].own_contract:
        return _addresses(given.address, networks, prompt, preset)
    if given.address:
        raise InitError(
            f"--address: {preset} knows its contracts' addresses; change them in the file written"
        )
    return ()


def _own_flow(given: Given, networks: Sequence[ChosenNetwork], prompt: Prompt) -> OwnFlow:
    def want(flag: str, value: str, question: str, default: str = "") -> str:
        def parse(answer: str) -> str:
            if not answer:
                raise InitError(f"--{flag}: needed with --preset {OWN}: {question}")
            if flag == "within":
                check_duration(answer)
            return answer

        return _given_or_asked(value, prompt, question, default, parse)

    address = tuple(dict(_addresses(given.address, networks, prompt, OWN)).items())
    within = want("within", given.within, "The time allowed for a transfer", "30m")
    network_by = _given_or_asked(
        given.network_by,
        prompt,
        "How the events identify networks (chain_id, or an attribute such as domain)",
        CHAIN_ID,
        parse_attribute,
    )
    return OwnFlow(
        abi=want("abi", " ".join(given.abi), "The contract's ABI file (JSON), relative to the configuration"),
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


def _named(
    given: Sequence[str], network_by: str, networks: Sequence[ChosenNetwork], prompt: Prompt
) -> tuple[tuple[str, str], ...]:
    named = dict(text.partition("=")[::2] for text in given)
    if unknown := sorted(named.keys() - {network.name for network in networks}):
        raise InitError(f"--named: expected NETWORK=VALUE, but {unknown[0]!r} is not one of the networks")
    for network in networks:
        named[network.name] = _given_or_asked(
            named.get(network.name, ""), prompt, f"The {network_by} of {network.name}", "", _name_in_events
        )
    return tuple(named.items())


def _name_in_events(text: str) -> str:
    if not text:
        raise InitError("--named: missing for a network; give its name in events as --named NETWORK=VALUE")
    return text


def _addresses(
    given: Sequence[str], networks: Sequence[ChosenNetwork], prompt: Prompt, preset: str
) -> tuple[tuple[str, str], ...]:
    """Return (network, address) pairs, at least one for every network."""

    def parse(text: str) -> list[str]:
        if not text:
            raise InitError(
                f"--address: needed with --preset {preset}: the contract's address on every network, as NETWORK=0x…"
            )
        return [parse_address(part) for part in listed(text)]

    pairs = [(name, parse_address(text)) for name, _, text in (pair.partition("=") for pair in given)]
    named = {name for name, _ in pairs}
    if unknown := sorted(named - {network.name for network in networks}):
        raise InitError(f"--address: expected NETWORK=0x…, but {unknown[0]!r} is not one of the networks")
    for network in networks:
        if network.name not in named:
            question = f"The contract's address on {network.name}"
            pairs += [(network.name, address) for address in prompt(question, "", parse)]
    return tuple(pairs)


def _url_or_variable(flag: str, text: str, schemes: tuple[str, ...]) -> str:
    if not VARIABLE.fullmatch(text) and not text.startswith(schemes):
        # The message leaves out the text, which may be a secret.
        raise InitError(
            f"{flag}: expected a variable's name in capitals, or a URL that starts with {', '.join(schemes)}"
        )
    return text
