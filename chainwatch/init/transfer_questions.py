"""The questions about one transfer, from whose transactions a flow is to be proposed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chainwatch.init.answers import CHAIN_ID, ChosenNetwork, ChosenTransaction, InitError, OwnTransfer
from chainwatch.init.given import Given, Prompt
from chainwatch.init.parsing import check_duration, listed, near, parse_address, parse_attribute


def ask_transfer(given: Given, networks: Sequence[ChosenNetwork], prompt: Prompt) -> OwnTransfer | None:
    """Return the transfer from which a flow is to be proposed; None where the events are named instead."""
    names = [network.name for network in networks]
    sides = [
        *(ChosenTransaction(*_of_network("--transaction", text, names)) for text in given.transactions),
        *(
            ChosenTransaction(n, file=f)
            for n, f in (_of_network("--receipt", t, names) for t in given.receipts)
        ),
    ]
    if not sides and not given.opens:
        question = (
            "Both transactions of one transfer, first the one that sent it (NETWORK=HASH NETWORK=HASH; empty: name the "
            "events yourself)"
        )

        def parse(text: str) -> list[ChosenTransaction]:
            return [ChosenTransaction(*_of_network("--transaction", part, names)) for part in listed(text)]

        sides = prompt(question, "", parse)
    if not sides:
        return None
    if len(sides) != 2 or sides[0].network == sides[1].network:
        raise InitError(
            "--transaction: give two of one transfer, on two networks: first where it was sent from"
        )
    if given.network_by and given.network_by != CHAIN_ID and not given.named:
        raise InitError("--named: missing; give what the events call each network, as --named NETWORK=VALUE")
    abis = given.abi or prompt(
        "The contracts' ABI files, separated by spaces (empty: those of the presets)", "", listed
    )
    if given.within:
        check_duration(given.within)
    first, second = sides
    return OwnTransfer(
        (first, second),
        tuple(abis),
        tuple(_more_addresses(given.address, names)),
        parse_attribute(given.network_by) if given.network_by else "",
        tuple(_of_network("--named", text, names) for text in given.named),
        given.within,
    )


def _of_network(flag: str, text: str, names: Sequence[str]) -> tuple[str, str]:
    """Return the network and the value of ``NETWORK=VALUE``."""
    name, _, value = text.partition("=")
    if name not in names or not value:
        raise InitError(f"{flag}: expected NETWORK=…, with one of {', '.join(names)}{near(name, names)}")
    return name, value


def _more_addresses(given: Sequence[str], names: Sequence[str]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield (contract, network) and address of ``[CONTRACT@]NETWORK=0x…``."""
    for text in given:
        contract, _, rest = text.rpartition("@")
        network, address = _of_network("--address", rest, names)
        yield (contract, network), parse_address(address)
