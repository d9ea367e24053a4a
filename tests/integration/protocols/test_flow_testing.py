"""`flows test` and `find-siblings` on the protocols' own contracts: the key of each transaction is that of the message."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from chainwatch.config import read_dict
from chainwatch.operations import flow_testing, transaction_logs, transactions
from chainwatch.operations.flow_testing import FlowTest, StepTest
from chainwatch.plan import Plan, make_plan
from tests.support.protocols.artifacts import load, typechain_abi
from tests.support.protocols.cctp import PUBLISHED_V1, Cctp
from tests.support.protocols.chain import Chain, Chains, Receipt
from tests.support.protocols.layerzero import OFT, LayerZero, packets_in

pytestmark = pytest.mark.anvil

EIDS, DOMAINS = (30_101, 30_110, 30_184), (0, 3, 6)
HOUR = 3_600


async def tried(plan: Plan, sent: Receipt) -> FlowTest:
    (flow,) = flow_testing.run_flows(plan, await transactions.fetch(plan, sent.transaction_hash)).flows
    return flow


def matched(flow: FlowTest) -> StepTest:
    (step,) = (one for one in flow.steps if one.outcome == "matched")
    return step


async def test_both_transactions_of_a_layerzero_transfer_show_its_guid(
    chains: Chains, layerzero: LayerZero, tmp_path: Path
) -> None:
    abi, _ = load(OFT)
    flow = {
        "contract": "oft",
        "key": "guid",
        "network_by": "eid",
        "opens": {"step": "send", "event": "OFTSent", "destination": "dstEid", "amount": "amountSentLD"},
        "expects": [{"step": "receive", "event": "OFTReceived", "origin": "srcEid", "within": "1h"}],
    }
    tokens = [layerzero.sites[eid].token for eid in EIDS]
    plan = configured(tmp_path, chains, "eid", EIDS, {"oft": (abi, tokens)}, flow)
    sent = layerzero.transfer(EIDS[0], EIDS[1], 5 * 10**18)
    opened = await tried(plan, sent)
    (packet,) = packets_in(sent)
    step = matched(opened)
    assert (step.step, step.key, step.amount) == ("send", "0x" + packet.guid.hex(), str(5 * 10**18))
    assert (step.origin, step.destination) == ("ethereum", "arbitrum")
    (awaited,) = opened.transfers[0].awaited
    assert (awaited.step, awaited.networks) == ("receive", ["arbitrum"])
    assert awaited.due_at == sent.timestamp + HOUR

    paid = await tried(plan, layerzero.relay(sent).delivered)
    assert matched(paid).key == step.key
    assert [(one.step, one.networks) for one in paid.transfers[0].awaited] == [("send", ["ethereum"])]

    siblings = transaction_logs.find_siblings(
        plan, await transactions.fetch(plan, sent.transaction_hash), {}
    ).logs
    assert [(one.log_index, one.topics, one.data) for one in siblings] == [
        (one.index, ["0x" + topic.hex() for topic in one.topics], "0x" + one.data.hex()) for one in sent.logs
    ]
    assert [one.contract for one in siblings if one.event and one.event.startswith("OFTSent")] == ["oft"]
    assert any(one.event is None for one in siblings), "the endpoint's events are in no ABI here"


async def test_both_transactions_of_a_cctp_transfer_show_its_domain_and_nonce(
    chains: Chains, cctp_v1: Cctp, tmp_path: Path
) -> None:
    files = [tmp_path / f"{name}.json" for name in ("transmitter", "messenger")]
    for published, file in zip(load(PUBLISHED_V1), files, strict=True):
        file.write_text(json.dumps(typechain_abi(published)))
    sites = [cctp_v1.sites[domain] for domain in DOMAINS]
    contracts = {
        "transmitter": (files[0], [site.transmitter for site in sites]),
        "messenger": (files[1], [site.messenger for site in sites]),
    }
    receive = {"step": "receive", "contract": "transmitter", "event": "MessageReceived", "within": "1h"}
    flow = {
        "contract": "messenger",
        "key": ["network.domain", "nonce"],
        "network_by": "domain",
        "opens": {"step": "deposit", "event": "DepositForBurn", "destination": "destinationDomain"},
        "expects": [receive | {"key": ["sourceDomain", "nonce"], "origin": "sourceDomain"}],
    }
    plan = configured(tmp_path, chains, "domain", DOMAINS, contracts, flow)
    sent = cctp_v1.deposit(3, 6, 1_000)
    opened, paid = matched(await tried(plan, sent)), matched(await tried(plan, cctp_v1.relay(sent)))
    assert (opened.origin, opened.destination) == (paid.origin, paid.destination) == ("arbitrum", "base")
    assert opened.key == paid.key
    assert str(opened.key).startswith("3/")


def configured(
    folder: Path,
    chains: Sequence[Chain],
    attribute: str,
    numbers: Sequence[int],
    contracts: Mapping[str, tuple[Path, Sequence[str]]],
    flow: dict[str, Any],
) -> Plan:
    names = Chains._fields
    config = {
        "store": {"url": f"sqlite:///{folder}/x.db"},
        "networks": {
            name: {"chain_id": chain.chain_id, "rpc": [chain.anvil.http_url], attribute: number}
            for name, chain, number in zip(names, chains, numbers, strict=True)
        },
        "contracts": {
            name: {"abi": str(abi), "address": dict(zip(names, addresses, strict=True))}
            for name, (abi, addresses) in contracts.items()
        },
        "flows": {"bridge": flow},
        "receivers": {"console": {"provider": "console"}},
        "routes": [{"receivers": ["console"]}],
    }
    return make_plan(read_dict(config))
