"""What is done with the own contracts of LayerZero, Stargate and Hyperlane on three networks, and what is to be found."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.presets.deployed import Alert, Chains, Played
from tests.support.protocols import hyperlane, layerzero
from tests.support.protocols.chain import HOUR, Chain, Receipt, advance, call_data, word
from tests.support.protocols.hyperlane import Hyperlane
from tests.support.protocols.layerzero import LayerZero, Packet
from tests.support.protocols.stargate import Stargate

ETHEREUM, ARBITRUM, BASE = EIDS = (30_101, 30_110, 30_184)
EVERYTHING = 10**9
"""An amount in the OFT's shared decimals that nobody sent."""


def play_oft(chains: Chains) -> Played:
    """Transfers in time, late and never; a payout that nobody sent, and one of another amount than was sent."""
    bridge = LayerZero(dict(zip(EIDS, chains.values(), strict=True)))
    in_time, other_way = (
        bridge.transfer(ETHEREUM, ARBITRUM, 10**18),
        bridge.transfer(ARBITRUM, ETHEREUM, 10**18),
    )
    bridge.relay(in_time)
    bridge.relay(other_way)
    late = bridge.transfer(ARBITRUM, BASE, 2 * 10**18)
    never = bridge.transfer(BASE, ARBITRUM, 3 * 10**18)
    robbed = bridge.transfer(ETHEREUM, BASE, 4 * 10**18)
    (honest,) = layerzero.packets_in(robbed)
    account = chains["base"].account
    _force(bridge, honest._replace(message=word(account) + EVERYTHING.to_bytes(8)))
    sender, receiver = (word(bridge.sites[eid].token) for eid in (BASE, ETHEREUM))
    forged = Packet(1, BASE, sender, ETHEREUM, receiver, word(account) + EVERYTHING.to_bytes(8))
    _force(bridge, forged)
    advance(tuple(chains.values()), 2 * HOUR)
    bridge.relay(late)

    unfunded = f"0x{forged.guid.hex()}"
    return Played(
        addresses={"oft": _by_network(chains, lambda eid: bridge.sites[eid].token)},
        statuses={
            _guid(in_time): "complete",
            _guid(other_way): "complete",
            _guid(late): "complete",
            _guid(never): "overdue",
            _guid(robbed): "disputed",
            unfunded: "orphan",
        },
        alerts={
            Alert("TransferOverdue", _guid(late), ended=True),
            Alert("TransferOverdue", _guid(never), ended=False),
            Alert("TransferMismatch", _guid(robbed), ended=False),
            Alert("TransferOrphan", unfunded, ended=False),
        },
    )


def play_endpoint(chains: Chains) -> Played:
    """Messages of two apps: in time, late, never delivered; one forged, and one whose place a forged one took."""
    bridge = LayerZero(dict(zip(EIDS, chains.values(), strict=True)))
    in_time = bridge.increment(ETHEREUM, ARBITRUM)
    token = bridge.transfer(ARBITRUM, ETHEREUM, 10**18)
    bridge.relay(in_time)
    bridge.relay(token)
    both = layerzero.packets_in(bridge.increment_all(BASE, [ETHEREUM, ARBITRUM]))
    for packet in both:
        _force(bridge, packet)
    (late,) = layerzero.packets_in(bridge.increment(ARBITRUM, BASE))
    (stuck,) = layerzero.packets_in(bridge.increment(ETHEREUM, BASE))
    bridge.verify(stuck)
    (robbed,) = layerzero.packets_in(bridge.transfer(ETHEREUM, BASE, 4 * 10**18))
    _force(bridge, robbed._replace(message=word(chains["base"].account) + EVERYTHING.to_bytes(8)))
    sender, receiver = (word(bridge.sites[eid].token) for eid in (BASE, ARBITRUM))
    forged = Packet(
        1, BASE, sender, ARBITRUM, receiver, word(chains["base"].account) + EVERYTHING.to_bytes(8)
    )
    _force(bridge, forged)
    advance(tuple(chains.values()), 2 * HOUR)
    _force(bridge, late)
    in_order = [_key(packet) for sent in (in_time, token) for packet in layerzero.packets_in(sent)]
    return Played(
        addresses={"endpoint": _by_network(chains, lambda eid: bridge.sites[eid].endpoint)},
        statuses={
            **dict.fromkeys([*in_order, *map(_key, both), _key(late)], "complete"),
            _key(stuck): "overdue",
            _key(robbed): "disputed",
            _key(forged): "orphan",
        },
        alerts={
            Alert("TransferOverdue", _key(late), ended=True, step="verify"),
            Alert("TransferOverdue", _key(late), ended=True, step="deliver"),
            Alert("TransferOverdue", _key(stuck), ended=False, step="deliver"),
            Alert("TransferMismatch", _key(robbed), ended=False, step="verify"),
            Alert("TransferOrphan", _key(forged), ended=False, step="verify"),
            Alert("TransferOrphan", _key(forged), ended=False, step="deliver"),
        },
    )


def play_stargate(chains: Chains) -> Played:
    """Taxis in time, late and never, a bus with three passengers; a payout that nobody sent, and one to somebody else."""
    layers = LayerZero(dict(zip(EIDS, chains.values(), strict=True)))
    bridge = Stargate(layers)
    in_time, other_way = bridge.taxi(ETHEREUM, BASE, 10**18), bridge.taxi(BASE, ETHEREUM, 10**18)
    bus = bridge.drive([bridge.ride(ARBITRUM, BASE, amount * 10**18) for amount in (1, 2, 3)])
    for sent in (in_time, other_way, bus):
        layers.relay(sent)
    late, never = bridge.taxi(ARBITRUM, ETHEREUM, 10**18), bridge.taxi(BASE, ARBITRUM, 10**18)
    bridge.ride(BASE, ARBITRUM, 10**18)  # waits for a bus that never leaves: no message yet
    layers.increment(ETHEREUM, ARBITRUM)  # of another app
    robbed = bridge.taxi(ETHEREUM, ARBITRUM, 10**18)
    (honest,) = layerzero.packets_in(robbed)
    stolen = honest.message.replace(word(chains["arbitrum"].account), word(chains["base"].account))
    _force(layers, honest._replace(message=stolen))
    (packet,) = layerzero.packets_in(other_way)
    forged = packet._replace(nonce=2)
    _force(layers, forged)
    advance(tuple(chains.values()), 2 * HOUR)
    layers.relay(late)
    return Played(
        addresses={
            "stargate": _by_network(chains, lambda eid: bridge.sites[eid].stargate),
            "token-messaging": _by_network(chains, lambda eid: bridge.sites[eid].messaging),
            "endpoint": _by_network(chains, lambda eid: layers.sites[eid].endpoint),
        },
        statuses={
            **dict.fromkeys([_guid(sent) for sent in (in_time, other_way, bus, late)], "complete"),
            **dict.fromkeys([f"{ARBITRUM}/{BASE}/{ticket}" for ticket in range(3)], "complete"),
            f"{BASE}/{ARBITRUM}/0": "open",
            _guid(never): "overdue",
            _guid(robbed): "disputed",
            f"0x{forged.guid.hex()}": "orphan",
        },
        alerts={
            Alert("TransferOverdue", _guid(late), ended=True),
            Alert("TransferOverdue", _guid(never), ended=False),
            Alert("TransferMismatch", _guid(robbed), ended=False),
            Alert("TransferOrphan", f"0x{forged.guid.hex()}", ended=False),
        },
    )


def play_hyperlane(chains: Chains) -> Played:
    """Messages in time, three in one transaction, a warp route's, late, never, and one that nobody dispatched."""
    ethereum, arbitrum, base = chains.values()
    bridge = Hyperlane((ethereum, arbitrum, base))
    in_time = bridge.dispatch(ethereum, arbitrum, b"in time")
    bridge.relay(in_time)
    warped = bridge.transfer(arbitrum, base, 7_000)
    bridge.relay(warped)
    batch = hyperlane.messages_in(_dispatch_together(bridge, ethereum, (arbitrum, base, arbitrum)))
    for message in reversed(batch):
        bridge.process(message)
    late, never = bridge.dispatch(base, ethereum, b"late"), bridge.dispatch(base, arbitrum, b"never")
    nowhere = ethereum.send(
        bridge.sites[1].mailbox, "dispatch(uint32,bytes32,bytes)", 1_399_811_149, b"\xee" * 32, b"away"
    )
    (message,) = hyperlane.messages_in(late)
    forged = message._replace(nonce=77, body=b"forged")
    bridge.process(forged)
    advance(tuple(chains.values()), 2 * HOUR)
    bridge.relay(late)

    def identity(sent: Receipt) -> str:
        (message,) = hyperlane.messages_in(sent)
        return f"0x{message.id.hex()}"

    unfunded = f"0x{forged.id.hex()}"
    return Played(
        addresses={"mailbox": {name: bridge.sites[chain.chain_id].mailbox for name, chain in chains.items()}},
        statuses={
            **dict.fromkeys([identity(in_time), identity(warped), identity(late)], "complete"),
            **dict.fromkeys([f"0x{message.id.hex()}" for message in batch], "complete"),
            identity(never): "overdue",
            identity(nowhere): "untracked",
            unfunded: "orphan",
        },
        alerts={
            Alert("TransferOverdue", identity(late), ended=True),
            Alert("TransferOverdue", identity(never), ended=False),
            Alert("TransferOrphan", unfunded, ended=False),
        },
    )


def _force(bridge: LayerZero, packet: Packet) -> None:
    """Verifies and delivers ``packet``, sent or not."""
    bridge.verify(packet)
    bridge.deliver(packet)


def _guid(sent: Receipt) -> str:
    """The guid of the only packet that a transaction sent."""
    (packet,) = layerzero.packets_in(sent)
    return f"0x{packet.guid.hex()}"


def _key(packet: Packet) -> str:
    """A message's key in the flow of the endpoint."""
    sender, receiver = packet.sender.hex(), packet.receiver.hex()
    return f"{packet.origin}/0x{sender}/{packet.nonce}/{packet.destination}/0x{receiver}"


def _by_network(chains: Chains, address: Callable[[int], str]) -> dict[str, str]:
    return {name: address(eid) for name, eid in zip(chains, EIDS, strict=True)}


def _dispatch_together(bridge: Hyperlane, origin: Chain, destinations: tuple[Chain, ...]) -> Receipt:
    mailbox = bridge.sites[origin.chain_id].mailbox
    calls = []
    for there in destinations:
        recipient = word(bridge.sites[there.chain_id].recipient)
        arguments = (there.chain_id, recipient, b"one of three")
        calls.append((mailbox, call_data("dispatch(uint32,bytes32,bytes)", *arguments)))
    return origin.send_together(calls)
