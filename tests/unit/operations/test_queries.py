"""What the looking commands read, and that looking changes nothing."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.config import RouteSettings
from chainwatch.model import SEVERITIES, TRANSFER_STATUSES, Batch, Checkpoint, Signal
from chainwatch.operations import queries
from chainwatch.operations.queries import STOPPED_AFTER, Look
from chainwatch.plan import Plan, load_plan
from chainwatch.store import blocks
from chainwatch.store.alerting import outbox
from chainwatch.store.blocks import NetworkState
from chainwatch.store.database import Database
from chainwatch.store.errors import NoDatabase
from tests.support.flows import header
from tests.support.storing import store_batch

T0 = 1_700_000_000

CONFIG = """
[store]
url = "${STORE}"
[networks.alpha]
chain_id = 1
rpc = ["http://localhost:1"]
[networks.beta]
chain_id = 2
rpc = ["http://localhost:2"]
[receivers.ops]
provider = "console"
[[routes]]
receivers = ["ops"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def plan(config: Path, sqlite_url: str) -> Plan:
    return load_plan(config, {"STORE": sqlite_url})


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    with closing(Database.open(sqlite_url, durable=False)) as opened:
        yield opened


@pytest.fixture
def at_t0(plan: Plan, database: Database) -> Look:
    return Look(plan, database, T0)


def _read_to(database: Database, network: str, number: int) -> None:
    last = header(number, T0 - 10)
    with database.transaction() as connection:
        batch = Batch(network, number, last, headers=(last,))
        store_batch(connection, batch, Checkpoint(network, last, 5, T0 - 100, T0 - 3))


def _state(database: Database, state: str, head: int | None, updated_at: float) -> None:
    with database.transaction() as connection:
        blocks.save_states(connection, [NetworkState("alpha", state, head, T0, "it hurts", updated_at)])


def _raise(database: Database, *signals: Signal) -> None:
    routes = [RouteSettings.model_validate({"receivers": ["ops"], "group_wait": "0s"})]
    with database.transaction() as connection:
        AlertEngine(routes, {"ops": True}, 0).apply(connection, signals, T0)


def _signal(name: str, severity: str, **fields: Any) -> Signal:
    return Signal({"alertname": name, "severity": severity}, T0, {"summary": "s"}, **fields)


def test_looking_before_the_first_run_says_so_and_makes_nothing(config: Path, database_url: str) -> None:
    before = set(config.parent.iterdir())
    with (
        pytest.raises(NoDatabase, match="chainwatch run"),
        queries.look(config, {"STORE": database_url}),
    ):
        pass
    assert set(config.parent.iterdir()) == before
    if database_url.startswith("postgresql"):
        engine = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
        assert sa.inspect(engine).get_table_names() == []
        engine.dispose()


def test_looking_after_the_first_run_finds_the_database(config: Path, database_url: str) -> None:
    Database.open(database_url).close()
    with queries.look(config, {"STORE": database_url}) as look:
        assert queries.transfers(look, 10, **NO_WISHES) == []


NO_WISHES: dict[str, Any] = {
    "flow": None,
    "statuses": (),
    "key": None,
    "origin": None,
    "destination": None,
    "since": None,
    "until": None,
}


def test_a_status_names_everything_that_is_configured_even_before_anything_happened(at_t0: Look) -> None:
    view = queries.status(at_t0)
    assert view["networks"] == [
        {
            "name": name,
            "chain_id": chain_id,
            "checkpoint": None,
            "head": None,
            "lag_blocks": None,
            "seen_until": None,
            "state": "stopped",
            "error": None,
        }
        for name, chain_id in (("alpha", 1), ("beta", 2))
    ]
    assert view["transfers"] == dict.fromkeys(TRANSFER_STATUSES, 0)
    assert view["alerts"] == {"firing": dict.fromkeys(SEVERITIES, 0), "resolved": 0}
    assert view["queues"] == [{"receiver": "ops", "pending": 0, "delivered": 0, "dead": 0, "dropped": 0}]


def test_a_status_shows_where_a_running_network_stands(at_t0: Look) -> None:
    _read_to(at_t0.database, "alpha", 90)
    _state(at_t0.database, "live", 100, T0 - STOPPED_AFTER)
    alpha = queries.status(at_t0)["networks"][0]
    assert alpha["checkpoint"]["number"] == 90
    assert alpha["checkpoint"]["timestamp"] == T0 - 10
    assert (alpha["head"], alpha["lag_blocks"], alpha["seen_until"]) == (100, 10, T0 - 3)
    assert (alpha["state"], alpha["error"]) == ("live", "it hurts")


def test_a_process_that_says_nothing_any_more_has_stopped(at_t0: Look) -> None:
    _state(at_t0.database, "live", 100, T0 - STOPPED_AFTER - 1)
    alpha = queries.status(at_t0)["networks"][0]
    assert (alpha["state"], alpha["error"]) == ("stopped", None)


def test_a_checkpoint_ahead_of_a_lagging_node_lags_by_nothing(at_t0: Look) -> None:
    _read_to(at_t0.database, "alpha", 90)
    _state(at_t0.database, "live", 80, T0)
    assert queries.status(at_t0)["networks"][0]["lag_blocks"] == 0


def test_alerts_are_counted_and_listed(at_t0: Look) -> None:
    _raise(at_t0.database, _signal("A", "P0"), _signal("B", "P2", ends_at=T0 + 5, reason="late"))
    assert queries.status(at_t0)["alerts"] == {
        "firing": {"P0": 1, "P1": 0, "P2": 0, "P3": 0},
        "resolved": 1,
    }
    wishes: dict[str, Any] = {"name": None, "severities": (), "since": None, "until": None}
    found = queries.alerts(at_t0, 10, firing=False, **wishes)
    assert [(a["labels"]["alertname"], a["state"], a["ends_at"], a["reason"]) for a in found] == [
        ("B", "resolved", T0 + 5, "late"),
        ("A", "firing", None, ""),
    ]
    assert [a["id"] for a in queries.alerts(at_t0, 1, firing=False, **wishes)] == [found[0]["id"]]
    firing = queries.alerts(at_t0, 10, firing=True, **wishes)
    assert [a["labels"]["alertname"] for a in firing] == ["A"]
    assert queries.alerts(at_t0, 10, firing=False, **(wishes | {"severities": ("P1",)})) == []


def test_a_queue_is_listed_retried_and_dropped(at_t0: Look) -> None:
    _raise(at_t0.database, _signal("A", "P0"))
    (waiting,) = queries.queue(at_t0, None, None, 10)
    assert (waiting["receiver"], waiting["status"]) == ("ops", "pending")
    assert queries.queue(at_t0, "nobody", None, 10) == []
    assert queries.drop(at_t0, [waiting["id"]]) == 1
    assert queries.drop(at_t0, [waiting["id"]]) == 0
    assert queries.status(at_t0)["queues"][0]["dropped"] == 1
    assert queries.retry(at_t0, [12345], None) == 0
    assert queries.retry(at_t0, [], "nobody") == 0


def test_a_receiver_that_is_gone_from_the_configuration_is_still_shown(at_t0: Look) -> None:
    with at_t0.database.transaction() as connection:
        outbox.enqueue(connection, [("old", "k", outbox.Payload({}, (), ()))], T0)
    assert [q["receiver"] for q in queries.status(at_t0)["queues"]] == ["ops", "old"]
    assert queries.status(at_t0)["queues"][1]["pending"] == 1


def test_the_latency_of_nothing_is_nothing(at_t0: Look) -> None:
    assert queries.latency(at_t0, None, None, None) == []
    assert queries.latency(at_t0, "unknown", 5, 1) == []
