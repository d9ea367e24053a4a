"""`chainwatch init --preset own` proposes a flow from both transactions of one transfer, which matches further ones."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from chainwatch.cli import main
from tests.support.protocols.artifacts import load, typechain_abi
from tests.support.protocols.axelar import GATEWAY, Axelar
from tests.support.protocols.cctp import Cctp
from tests.support.protocols.chain import Chain, Chains, Receipt
from tests.support.protocols.hyperlane import CORE, Hyperlane
from tests.support.protocols.layerzero import LayerZero
from tests.support.protocols.wormhole import Wormhole

pytestmark = pytest.mark.anvil

EIDS = (30_101, 30_110, 30_184)
NAMES = ("ethereum", "arbitrum", "base")


class Sent(NamedTuple):
    """A transfer's networks and transactions."""

    origin: str
    sent: Receipt
    destination: str
    paid: Receipt

    @property
    def sides(self) -> list[tuple[str, str]]:
        return [(self.origin, self.sent.transaction_hash), (self.destination, self.paid.transaction_hash)]


def proposed(folder: Path, chains: Sequence[Chain], transfer: Sent, *options: str) -> str:
    """The text of the configuration that is written."""
    arguments = ["--config", str(folder / "config.toml"), "init", "--preset", "own", "--yes"]
    for name, chain in zip(NAMES, chains, strict=True):
        if name in (transfer.origin, transfer.destination):
            arguments += ["--network", name, "--rpc", f"{name}={chain.anvil.http_url}"]
    for network, tx_hash in transfer.sides:
        arguments += ["--transaction", f"{network}={tx_hash}"]
    done = CliRunner().invoke(main, [*arguments, *options])
    assert done.exit_code == 0, done.output
    checked = CliRunner().invoke(main, ["--config", str(folder / "config.toml"), "check"])
    assert checked.exit_code == 0, checked.output
    return (folder / "config.toml").read_text()


def keys(folder: Path, transfer: Sent) -> list[str]:
    """The key of each side; both are steps of one transfer between its networks, by `flows test`."""
    found = []
    for (network, tx_hash), step in zip(transfer.sides, ("open", "complete"), strict=True):
        arguments = [
            "--config",
            str(folder / "config.toml"),
            "flows",
            "test",
            tx_hash,
            "--network",
            network,
            "--json",
        ]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        steps: list[dict[str, Any]] = json.loads(done.output)["flows"][0]["steps"]
        (matched,) = [one for one in steps if one["outcome"] == "matched" and one["step"] == step]
        assert matched["destination"] == transfer.destination
        assert matched["origin"] in (transfer.origin, None)
        found.append(matched["key"])
    return found


def check_further(folder: Path, *transfers: Sent) -> None:
    every = [keys(folder, transfer) for transfer in transfers]
    assert all(one == other for one, other in every)
    assert len({one for one, _ in every}) == len(transfers)


def test_hyperlane_by_the_hash_of_the_message(hyperlane: Hyperlane, chains: Chains, tmp_path: Path) -> None:
    def transfer(origin: int, destination: int) -> Sent:
        sent = hyperlane.transfer(chains[origin], chains[destination], 10**18)
        return Sent(NAMES[origin], sent, NAMES[destination], hyperlane.relay(sent))

    (tmp_path / "mailbox.json").write_text(json.dumps(typechain_abi(load(CORE)[0])))
    first = transfer(0, 1)
    text = proposed(tmp_path, chains, first, "--abi", "mailbox.json")
    assert 'key = "keccak(message)"' in text
    assert 'destination = "destination"' in text
    check_further(tmp_path, first, transfer(0, 1), transfer(1, 0))


def test_layerzeros_oft_by_its_guid(layerzero: LayerZero, chains: Chains, tmp_path: Path) -> None:
    def transfer(origin: int, destination: int) -> Sent:
        sent = layerzero.transfer(EIDS[origin], EIDS[destination], 10**18)
        return Sent(NAMES[origin], sent, NAMES[destination], layerzero.relay(sent).delivered)

    first = transfer(0, 1)
    text = proposed(tmp_path, chains, first)
    assert ('key = "guid"' in text, 'network_by = "eid"' in text) == (True, True)
    assert ('event = "OFTSent"' in text, 'event = "OFTReceived"' in text) == (True, True)
    check_further(tmp_path, first, transfer(0, 1), transfer(1, 0))


def test_layerzeros_endpoint_by_the_fields_of_its_packets(
    layerzero: LayerZero, chains: Chains, tmp_path: Path
) -> None:
    def transfer(origin: int, destination: int) -> Sent:
        sent = layerzero.increment(EIDS[origin], EIDS[destination])
        return Sent(NAMES[origin], sent, NAMES[destination], layerzero.relay(sent).delivered)

    first = transfer(0, 2)
    text = proposed(tmp_path, chains, first)
    assert '"uint(encodedPayload[1:9])"' in text
    assert 'destination = "uint(encodedPayload[45:49])"' in text
    assert 'where = "len(encodedPayload) >= ' in text
    check_further(tmp_path, first, transfer(0, 2), transfer(2, 0))


def test_circles_cctp_by_origin_and_nonce(cctp_v1: Cctp, chains: Chains, tmp_path: Path) -> None:
    domains = (0, 3, 6)

    def transfer(origin: int, destination: int) -> Sent:
        sent = cctp_v1.deposit(domains[origin], domains[destination], 1_000)
        return Sent(NAMES[origin], sent, NAMES[destination], cctp_v1.relay(sent))

    first = transfer(1, 2)
    text = proposed(tmp_path, chains, first)
    assert 'key = ["network.domain", "nonce"]' in text
    assert 'key = ["sourceDomain", "nonce"]' in text
    check_further(tmp_path, first, transfer(1, 2), transfer(2, 1))


def test_wormhole_by_emitter_and_sequence(wormhole: Wormhole, chains: Chains, tmp_path: Path) -> None:
    numbers = (2, 23, 30)

    def transfer(origin: int, destination: int) -> Sent:
        sent = wormhole.transfer(numbers[origin], numbers[destination], 10**18)
        return Sent(NAMES[origin], sent, NAMES[destination], wormhole.relay(numbers[origin], sent))

    first = transfer(0, 1)
    addresses = []
    for name, number in zip(NAMES[:2], numbers[:2], strict=True):
        site = wormhole.sites[number]
        addresses += [
            *("--address", f"wormhole-core@{name}={site.core}"),
            *("--address", f"wormhole-token-bridge@{name}={site.bridge}"),
        ]
    text = proposed(tmp_path, chains, first, *addresses)
    assert '"bytes32(sender)", "sequence"' in text
    assert 'destination = "uint(payload[99:101])"' in text
    check_further(tmp_path, first, transfer(0, 1), transfer(1, 0))


def test_axelar_by_the_origins_transaction(axelar: Axelar, chains: Chains, tmp_path: Path) -> None:
    names = ("Ethereum", "arbitrum", "base")

    def transfer(origin: int, destination: int, value: str) -> Sent:
        sent = axelar.call(names[origin], names[destination], value)
        return Sent(NAMES[origin], sent, NAMES[destination], axelar.relay(names[origin], sent).approved)

    first = transfer(0, 1, "one")
    text = proposed(tmp_path, chains, first, "--abi", str(load(GATEWAY)[2]))
    assert 'key = ["transaction.hash", "payloadHash"]' in text
    check_further(tmp_path, first, transfer(0, 1, "one"), transfer(1, 0, "two"))
