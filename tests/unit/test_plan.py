"""From the configuration to what runs; every mistake that only the ABIs show joins those of the file."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from chainwatch.chain.decode.decoder import ContractDecoder
from chainwatch.checker.flow import extract, index_steps
from chainwatch.config import ConfigError, read_dict
from chainwatch.model import Event, RawLog, StoredLog
from chainwatch.plan import Plan, load_plan, make_plan
from tests.support import connext

ROOT = Path(__file__).parents[2]
ETHEREUM, OPTIMISM = connext.ETHEREUM.address, connext.OPTIMISM.address

CONFIG: dict[str, Any] = {
    "networks": {
        "ethereum": {"chain_id": 1, "domain": 6648936, "rpc": ["http://node"]},
        "optimism": {"chain_id": 10, "domain": 1869640809, "rpc": ["http://node"]},
        "idle": {"chain_id": 100, "domain": 1, "rpc": ["http://node"]},
    },
    "contracts": {
        "connext": {
            "abi": str(ROOT / "abi" / "connext.json"),
            "address": {"ethereum": ETHEREUM, "optimism": OPTIMISM},
        }
    },
    "flows": {
        "connext": {
            "contract": "connext",
            "key": "transferId",
            "network_by": "domain",
            "opens": {
                "step": "xcall",
                "event": "XCalled",
                "origin": "params.originDomain",
                "destination": "params.destinationDomain",
                "amount": "params.bridgedAmt",
                "where": "params.bridgedAmt > 0",
            },
            "expects": [
                {
                    "step": "execute",
                    "event": "Executed",
                    "origin": "args.params.originDomain",
                    "within": "30m",
                    "assert": "amount <= opening.params.bridgedAmt",
                }
            ],
        }
    },
}


def planned(*changes: tuple[str, Any]) -> Plan:
    """A plan of CONFIG with the value at each dotted path changed."""
    config = copy.deepcopy(CONFIG)
    for path, value in changes:
        *inner, last = (int(part) if part.isdigit() else part for part in path.split("."))
        table: Any = config
        for part in inner:
            table = table[part]
        table[last] = value
    return make_plan(read_dict(config))


def mistakes(*changes: tuple[str, Any]) -> dict[str, str]:
    """What is reported for CONFIG so changed, by place."""
    with pytest.raises(ConfigError) as caught:
        planned(*changes)
    return {".".join(map(str, p.path)): f"{p.message} {p.hint}" for p in caught.value.problems}


OPENS, STEP = "flows.connext.opens", "flows.connext.expects.0"


def test_a_plan_watches_each_network_that_has_a_contract_and_only_events_of_flows() -> None:
    plan = planned()
    assert list(plan.watches) == ["ethereum", "optimism"]
    (contract,) = plan.watches["ethereum"].contracts
    assert contract.address == bytes.fromhex(ETHEREUM[2:])
    assert len(contract.decoder.topic0s or ()) == 2
    assert [flow.name for flow in plan.flows] == ["connext"]


CHANGES: list[list[tuple[str, Any]]] = [
    [],
    [("flows.connext.key", ["transferId", "network.chain_id"])],
    [(f"{OPENS}.where", "params.bridgedAmt > 10**18 and block.number > 0")],
    [(f"{OPENS}.amount", "amount"), (f"{OPENS}.asset", "asset")],
    [("flows.connext.verify", ["connext.transfer_id", "connext.message_hash"])],
    [(f"{STEP}.verify", ["connext.transfer_id"])],
    [(f"{STEP}.where", "args.routers[0] != asset"), (f"{STEP}.amount", "amount")],
    [(f"{STEP}.assert", "args.params.callData == opening.params.callData and to == opening.params.to")],
    [(f"{STEP}.origin", "ethereum"), (f"{STEP}.key", "args.params.nonce"), ("flows.connext.key", "nonce")],
]
"""Flows that read other values of the events."""


@pytest.mark.parametrize("changes", CHANGES)
def test_of_a_log_all_is_made_that_the_flows_read(changes: list[tuple[str, Any]]) -> None:
    plan = planned(*changes)
    index = index_steps(plan.flows)
    whole = ContractDecoder([step.event for some in index.steps.values() for step in some])
    some = [connext.transfer(connext.ETHEREUM, connext.OPTIMISM, n, 10**18 + n - 1) for n in range(3)]
    logs = [make(t) for t in some for make in (connext.xcalled, connext.executed)]
    logs += [connext.executed(t, amount=5, routers=[connext.ROUTER]) for t in some]
    address = bytes.fromhex(ETHEREUM[2:])
    for log in logs:
        raw = RawLog(1, bytes(32), 1, 1, bytes(32), address, tuple(log.topics), log.data)
        found = plan.watches["ethereum"].decode(raw)
        assert isinstance(found, Event)
        everything = found._replace(args=whole.decode(raw.topics, raw.data)[1])

        extracted = extract(index, [found])

        assert extracted == extract(index, [everything])
        assert len(found.args) < len(everything.args)


@pytest.mark.parametrize(
    ("path", "value", "notified"),
    [
        (f"{OPENS}.event", "XCaled", 'did you mean "XCalled"?'),
        (f"{OPENS}.origin", "params.orginDomain", "no field orginDomain"),
        (f"{OPENS}.destination", "params.nowhere", "no field nowhere"),
        (f"{OPENS}.amount", "params", "a single value is needed"),
        (f"{OPENS}.where", "params.bridgedAmount > 0", "bridgedAmount"),
        (f"{OPENS}.where", "params.bridgedAmt >", "params.bridgedAmt >"),
        (f"{STEP}.event", "Exected", 'did you mean "Executed"?'),
        (f"{STEP}.assert", "amount <= opening.params.bridgedAmount", "bridgedAmount"),
        (f"{STEP}.verify", ["connext.transferid"], "connext.transfer_id"),
        ("flows.connext.key", "transferid", "did you mean transferId?"),
        ("flows.connext.key", "params", "a single value is needed"),
        ("flows.connext.verify", ["nonsense"], "no built-in check"),
        ("contracts.connext.abi", "/nowhere/abi.json", "/nowhere/abi.json"),
        (f"{STEP}.on", "idle", "has no address"),
    ],
)
def test_a_mistake_is_reported_where_it_is(path: str, value: Any, notified: str) -> None:
    found = mistakes((path, value))
    (place,) = [place for place in found if place.startswith(path)]
    assert notified in found[place]


def test_an_abi_that_cannot_be_read_is_reported_once_and_not_for_each_of_its_events() -> None:
    assert list(mistakes(("contracts.connext.abi", "/nowhere/abi.json"))) == ["contracts.connext.abi"]


def test_mistakes_of_the_file_and_of_the_abi_come_together() -> None:
    found = mistakes(
        ("networks.idle.chain_id", "many"),
        (f"{OPENS}.event", "XCaled"),
        ("flows.connext.key", "nothing"),
    )
    assert {"networks.idle.chain_id", f"{OPENS}.event", "flows.connext.key"} <= found.keys()


def test_unknown_events_of_a_flow_that_is_not_valid_are_reported_in_the_same_run() -> None:
    found = mistakes((f"{STEP}.within", "soon"), (f"{OPENS}.event", "XCaled"), (f"{STEP}.event", "Exected"))
    assert set(found) == {f"{STEP}.within", f"{OPENS}.event", f"{STEP}.event"}


@pytest.mark.parametrize(
    "changes",
    [
        ((f"{STEP}.within", 3), (f"{STEP}.event", 3)),
        ((f"{STEP}.within", 3), (f"{OPENS}.contract", "nobody")),
        (("flows.connext.expects", "none"),),
        (("flows.connext.opens", "none"),),
        (("flows.connext", 5),),
        (("flows", []),),
        (("contracts", 5),),
    ],
)
def test_no_shape_of_the_file_breaks_the_checks(changes: tuple[tuple[str, Any], ...]) -> None:
    assert mistakes(*changes)


def test_mistakes_of_a_file_have_its_lines(tmp_path: Path) -> None:
    abi = tmp_path / "abi.json"
    abi.write_text(json.dumps([{"type": "event", "name": "Sent", "inputs": [], "anonymous": False}]))
    file = tmp_path / "config.toml"
    file.write_text(
        "[networks.alpha]\nchain_id = 1\nrpc = ['http://node']\n"
        "[contracts.bridge]\nabi = 'abi.json'\naddress = '0x" + "11" * 20 + "'\n"
        "[flows.bridge]\ncontract = 'bridge'\nkey = 'id'\n"
        "opens = { step = 'send', event = 'Sended', destination = 'alpha' }\n"
        "[[flows.bridge.expects]]\nstep = 'fill'\nevent = 'Sent'\nwithin = '1 fortnight'\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_plan(file, {})
    assert [problem.line for problem in caught.value.problems] == [10, 14]


def test_a_stored_log_is_decoded_again() -> None:
    plan = planned()
    transfer = connext.transfer(connext.ETHEREUM, connext.OPTIMISM, 1)
    topics, data = connext.xcalled(transfer)
    log = _log(topics, data)
    event = plan.decode("ethereum", StoredLog("connext", log, None))
    assert event is not None
    assert (event.network, event.contract, event.name, event.log) == ("ethereum", "connext", "XCalled", log)
    assert event.args["params"]["originDomain"] == 6648936


def test_a_stored_log_that_means_nothing_any_more_is_no_event() -> None:
    plan = planned()
    topics, data = connext.xcalled(connext.transfer(connext.ETHEREUM, connext.OPTIMISM, 1))
    good, cut = _log(topics, data), _log(topics, data[:10])
    assert plan.decode("ethereum", StoredLog("gone", good, None)) is None
    assert plan.decode("ethereum", StoredLog("connext", cut, None)) is None
    assert plan.decode("ethereum", StoredLog("connext", good, "it did not decode")) is None
    moved = good._replace(address=b"\x42" * 20)
    assert plan.decode("ethereum", StoredLog("connext", moved, None)) is None
    assert plan.decode("idle", StoredLog("connext", good, None)) is None


def _log(topics: Any, data: Any) -> RawLog:
    def raw(value: Any) -> bytes:
        return bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)

    return RawLog(7, b"\x01" * 32, 5, 0, b"\x02" * 32, raw(ETHEREUM), tuple(map(raw, topics)), raw(data))


@pytest.mark.parametrize(
    "wrong",
    [
        ("networks.ethereum.rpc", ["${UNSET}"]),
        ("networks.ethereum.rpc", ["ftp://node"]),
        ("networks.ethereum.reorg_window", -1),
        ("networks.ethereum.chain_id", "1"),
    ],
)
def test_what_is_wrong_with_a_network_is_not_reported_of_the_flows_that_name_it(
    wrong: tuple[str, Any],
) -> None:
    named = [
        (f"{OPENS}.on", "ethereum"),
        (f"{OPENS}.destination", "optimism"),
        (f"{STEP}.origin", "ethereum"),
        (f"{STEP}.on", "optimism"),
    ]
    planned(*named)

    assert [place for place in mistakes(*named, wrong) if not place.startswith(wrong[0])] == []


def test_one_event_at_one_address_under_two_names_is_refused() -> None:
    contract, flow = CONFIG["contracts"]["connext"], CONFIG["flows"]["connext"]
    second = ("contracts.second", contract)

    planned(second)
    assert mistakes(second, ("flows.other", {**flow, "contract": "second"})) == {
        "contracts.second.address": 'has the address of contract "connext" on ethereum, and both watch XCalled '
        'name "connext" in the flows of both'
    }


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ([("flows.connext.key", ["network.chain_id", "transferId"])], "their keys differ"),
        (
            [("flows.connext.key", ["network.name", "transferId"]), (f"{STEP}.on", "optimism")],
            "their keys differ",
        ),
        ([("networks.optimism.domain", 2**40)], "never names optimism"),
    ],
)
def test_what_can_hardly_match_is_warned_of(changes: list[tuple[str, Any]], doubt: str) -> None:
    assert planned().warnings == ()

    assert any(doubt in warning for warning in planned(*changes).warnings)


@pytest.mark.parametrize(
    "changes",
    [
        [
            ("flows.connext.key", ["network.chain_id", "transferId"]),
            (f"{STEP}.key", ["uint(local)", "transferId"]),
        ],
        [("flows.connext.key", ["network.chain_id", "transferId"]), (f"{STEP}.on", "origin")],
        [
            ("flows.connext.key", ["network.bridge", "transferId"]),
            *((f"networks.{name}.bridge", 1) for name in ("ethereum", "optimism", "idle")),
        ],
    ],
)
def test_what_can_match_is_not_warned_of(changes: list[tuple[str, Any]]) -> None:
    assert planned(*changes).warnings == ()
