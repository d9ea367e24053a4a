"""What is done with CCTP's, Wormhole's and Axelar's own contracts on three networks, and what is to be found of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eth_account import Account

from chainwatch.support.keccak import keccak256
from tests.support.presets.deployed import Alert, Chains, Played
from tests.support.protocols import axelar, cctp, wormhole
from tests.support.protocols.axelar import Axelar
from tests.support.protocols.cctp import Cctp
from tests.support.protocols.chain import HOUR, advance, call_data, word
from tests.support.protocols.wormhole import Wormhole

NETWORKS = ("ethereum", "arbitrum", "base")
DOMAINS = (0, 3, 6)
"""Circle's numbers of them."""
MINT = "MintAndWithdraw(address,uint256,address,uint256)"
APPROVAL = "ContractCallApproved(bytes32,string,string,address,bytes32,bytes32,uint256)"


def play_cctp_v1(chains: Chains) -> Played:
    bridge = Cctp(1, dict(zip(DOMAINS, chains.values(), strict=True)))
    bridge.relay(bridge.deposit(0, 3, 1_000))
    bridge.relay(bridge.deposit(6, 3, 1_500))
    late = bridge.deposit(3, 6, 2_000)
    bridge.deposit(6, 0, 3_000)
    (sent,) = cctp.messages_in(late)
    bridge.receive(replace(sent, nonce=(77).to_bytes(8)))
    advance(tuple(chains.values()), 3 * HOUR)
    bridge.relay(late)
    sites = dict(zip(NETWORKS, bridge.sites.values(), strict=True))
    return Played(
        addresses={
            "cctp-v1-messenger": {name: site.messenger for name, site in sites.items()},
            "cctp-v1-transmitter": {name: site.transmitter for name, site in sites.items()},
        },
        statuses={
            "0/0": "complete",
            "6/0": "complete",
            "3/0": "complete",
            "6/1": "overdue",
            "3/77": "orphan",
        },
        alerts={
            Alert("TransferOverdue", "3/0", ended=True),
            Alert("TransferOverdue", "6/1", ended=False),
            Alert("TransferOrphan", "3/77", ended=False),
        },
    )


def play_wormhole(chains: Chains) -> Played:
    numbers = (2, 23, 30)
    bridge = Wormhole(dict(zip(numbers, chains.values(), strict=True)))
    sites = dict(zip(NETWORKS, bridge.sites.values(), strict=True))

    def send(origin: int, destination: int, amount: int) -> tuple[str, wormhole.Message]:
        """Sends; the transfer's key, and its message."""
        (message,) = wormhole.messages_in(origin, bridge.transfer(origin, destination, amount))
        return f"{origin}/0x{message.emitter.hex()}/{message.sequence}", message

    in_time, message = send(2, 23, 10**18)
    bridge.redeem(message)
    other_way, message = send(30, 23, 2 * 10**18)
    bridge.redeem(message)
    late, late_message = send(23, 30, 3 * 10**18)
    never, _ = send(30, 2, 4 * 10**18)
    forged = replace(late_message, sequence=777)
    bridge.redeem(forged)
    advance(tuple(chains.values()), 26 * HOUR)
    bridge.redeem(late_message)
    orphan = f"23/0x{forged.emitter.hex()}/777"
    return Played(
        addresses={
            "wormhole-core": {name: site.core for name, site in sites.items()},
            "wormhole-token-bridge": {name: site.bridge for name, site in sites.items()},
        },
        statuses={
            in_time: "complete",
            other_way: "complete",
            late: "complete",
            never: "overdue",
            orphan: "orphan",
        },
        alerts={
            Alert("TransferOverdue", late, ended=True),
            Alert("TransferOverdue", never, ended=False),
            Alert("TransferOrphan", orphan, ended=False),
        },
    )


def play_cctp_v2(chains: Chains) -> Played:
    """Equal deposits, fast and not: the fast one is minted first, one never. One message is attested twice.

    A mint whose deposit was never seen, as when watching begins between the two, comes before two deposits that equal it.
    """
    bridge = Cctp(2, dict(zip(DOMAINS, chains.values(), strict=True)))
    sites = dict(zip(NETWORKS, bridge.sites.values(), strict=True))

    def deposit(origin: int, destination: int, finality: int = cctp.FINALIZED) -> cctp.Message:
        site, recipient = bridge.sites[origin], word(bridge.sites[destination].chain.account)
        function = "depositForBurn(uint256,uint32,bytes32,uint256,uint32)"
        sent = site.chain.send(site.messenger, function, 1_000, destination, recipient, 100, finality)
        (message,) = cctp.messages_in(sent)
        return message

    def key(message: cctp.Message) -> str:
        said = keccak256(message.body[4:164] + message.body[228:])
        return f"{message.origin}/{message.destination}/0x{said.hex()}"

    finalized, fast, never = deposit(0, 3), deposit(0, 3, cctp.FAST), deposit(0, 3)
    assert finalized.body == fast.body == never.body
    bridge.receive(fast.attested(bridge.fresh_nonce(), cctp.FAST, fee=50))
    other_way = deposit(6, 3)
    _receive_together(bridge, [m.attested(bridge.fresh_nonce()) for m in (finalized, other_way)])
    late, twice = deposit(3, 6), deposit(3, 0)
    bridge.receive(twice.attested(bridge.fresh_nonce()))
    second = bridge.receive(twice.attested(bridge.fresh_nonce()))
    there = bridge.sites[0]
    body = other_way.body[:36] + word(there.chain.account) + other_way.body[68:]
    on_its_way = replace(other_way, destination=0, recipient=word(there.messenger), body=body)
    early = bridge.receive(on_its_way.attested(bridge.fresh_nonce()))
    advance(tuple(chains.values()), 3 * HOUR)
    bridge.receive(late.attested(bridge.fresh_nonce()))
    for _ in range(2):
        recurring = deposit(6, 0)
        assert recurring == on_its_way
        bridge.receive(recurring.attested(bridge.fresh_nonce()))
    no_deposit = f"{key(twice)}#ethereum:{second.place(MINT)}"
    unseen_deposit = f"{key(on_its_way)}#ethereum:{early.place(MINT)}"
    return Played(
        addresses={
            "cctp-v2-messenger": {name: site.messenger for name, site in sites.items()},
            "cctp-v2-transmitter": {name: site.transmitter for name, site in sites.items()},
        },
        statuses={
            key(fast): "complete",
            f"{key(fast)}#2": "complete",
            f"{key(fast)}#3": "overdue",
            key(other_way): "complete",
            key(late): "complete",
            key(twice): "complete",
            no_deposit: "orphan",
            unseen_deposit: "orphan",
            key(on_its_way): "complete",
            f"{key(on_its_way)}#2": "complete",
        },
        alerts={
            Alert("TransferOverdue", f"{key(fast)}#3", ended=False),
            Alert("TransferOverdue", key(late), ended=True),
            Alert("TransferOrphan", no_deposit, ended=False),
            Alert("TransferOrphan", unseen_deposit, ended=False),
        },
    )


def _receive_together(bridge: Cctp, messages: Sequence[cctp.Message]) -> None:
    """Receive attested messages for one network in one transaction."""
    site = bridge.sites[messages[0].destination]
    calls = []
    for message in messages:
        raw = message.encode()
        signature = bytes(Account.unsafe_sign_hash(keccak256(raw), cctp.ATTESTER_KEY).signature)
        calls.append((site.transmitter, call_data("receiveMessage(bytes,bytes)", raw, signature)))
    site.chain.send_together(calls)


def play_axelar(chains: Chains) -> Played:
    """Equal calls in one transaction, of which one is never approved; an approval of what nobody called."""
    names = ("Ethereum", "arbitrum", "base")
    bridge = Axelar(dict(zip(names, chains.values(), strict=True)))
    sites = dict(zip(NETWORKS, bridge.sites.values(), strict=True))

    def key(call: axelar.Call) -> str:
        return f"0x{call.transaction.hex()}/0x{keccak256(call.payload).hex()}/{call.destination.lower()}"

    sent = bridge.call("base", "Ethereum", "hello")
    bridge.relay("base", sent)
    (in_time,) = axelar.calls_in("base", sent)

    origin = bridge.sites["Ethereum"]
    ping = origin.app, call_data("set(string,string)", "arbitrum", "ping")
    equal = axelar.calls_in("Ethereum", origin.chain.send_together([ping] * 3))
    assert len({key(call) for call in equal}) == 1
    approved = [(call.command, call) for call in equal[:2]]
    bridge.approve("arbitrum", approved[::-1])
    for _, call in approved:
        bridge.execute(call)

    (late,) = axelar.calls_in("arbitrum", bridge.call("arbitrum", "base", "late"))
    forged = replace(late, payload=b"all your tokens", index=7)
    forging = bridge.approve("base", [(forged.command, forged)])
    forgery = f"{key(forged)}#base:{forging.place(APPROVAL)}"
    advance(tuple(chains.values()), 4 * HOUR)
    bridge.approve("base", [(late.command, late)])
    bridge.execute(late)
    never = f"{key(equal[0])}#3"
    return Played(
        flow="axelar-calls",
        addresses={"axelar-gateway": {name: site.gateway for name, site in sites.items()}},
        statuses={
            key(in_time): "complete",
            key(equal[0]): "complete",
            f"{key(equal[0])}#2": "complete",
            never: "overdue",
            key(late): "complete",
            forgery: "orphan",
        },
        alerts={
            *(Alert("TransferOverdue", never, False, step) for step in ("approve", "execute")),
            *(Alert("TransferOverdue", key(late), True, step) for step in ("approve", "execute")),
            Alert("TransferOrphan", forgery, False, "approve"),
        },
    )
