"""What the looking commands read, and that looking changes nothing."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.config import RouteSettings
from chainwatch.model import SEVERITIES, TRANSFER_STATUSES, Batch, Checkpoint, Occurrence, Signal, Transfer
from chainwatch.operations import queries
from chainwatch.operations.context import Access, Context, open_access
from chainwatch.operations.errors import Invalid
from chainwatch.operations.paging import Page
from chainwatch.operations.queries import STOPPED_AFTER, AlertCounts, NetworkView, QueueDepth
from chainwatch.plan import Plan, load_plan
from chainwatch.store import blocks, transfers
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
def at_t0(plan: Plan, database: Database) -> Access:
    with database.reading() as connection:
        return Access(database, Context.of(plan, connection), lambda: T0)


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


def test_looking_before_the_first_run_says_so_and_makes_nothing(
    config: Path, empty_database_url: str
) -> None:
    before = set(config.parent.iterdir())
    with (
        pytest.raises(NoDatabase, match="chainwatch run"),
        open_access(config, {"STORE": empty_database_url}),
    ):
        pass
    assert set(config.parent.iterdir()) == before
    if empty_database_url.startswith("postgresql"):
        engine = sa.create_engine(empty_database_url.replace("postgresql://", "postgresql+psycopg://"))
        assert sa.inspect(engine).get_table_names() == []
        engine.dispose()


def test_looking_after_the_first_run_finds_the_database(config: Path, database_url: str) -> None:
    Database.open(database_url).close()
    with open_access(config, {"STORE": database_url}) as access:
        assert access.read(queries.list_transfers) == Page([])


def test_a_status_names_everything_that_is_configured_even_before_anything_happened(at_t0: Access) -> None:
    view = at_t0.read(queries.status)
    assert view.networks == [
        NetworkView(name, chain_id, None, None, None, None, "stopped", None)
        for name, chain_id in (("alpha", 1), ("beta", 2))
    ]
    assert view.transfers == dict.fromkeys(TRANSFER_STATUSES, 0)
    assert view.alerts == AlertCounts(dict.fromkeys(SEVERITIES, 0), 0)
    assert view.queues == [QueueDepth("ops")]


def test_a_status_shows_where_a_running_network_stands(at_t0: Access) -> None:
    _read_to(at_t0.database, "alpha", 90)
    _state(at_t0.database, "live", 100, T0 - STOPPED_AFTER)
    alpha = at_t0.read(queries.status).networks[0]
    assert alpha.checkpoint is not None
    assert (alpha.checkpoint.number, alpha.checkpoint.timestamp) == (90, T0 - 10)
    assert (alpha.head, alpha.lag_blocks, alpha.seen_until) == (100, 10, T0 - 3)
    assert (alpha.state, alpha.error) == ("live", "it hurts")


def test_a_process_that_says_nothing_any_more_has_stopped(at_t0: Access) -> None:
    _state(at_t0.database, "live", 100, T0 - STOPPED_AFTER - 1)
    alpha = at_t0.read(queries.status).networks[0]
    assert (alpha.state, alpha.error) == ("stopped", None)


def test_a_checkpoint_ahead_of_a_lagging_node_lags_by_nothing(at_t0: Access) -> None:
    _read_to(at_t0.database, "alpha", 90)
    _state(at_t0.database, "live", 80, T0)
    assert at_t0.read(queries.status).networks[0].lag_blocks == 0


def test_alerts_are_counted_and_listed(at_t0: Access) -> None:
    _raise(at_t0.database, _signal("A", "P0"), _signal("B", "P2", ends_at=T0 + 5, reason="late"))
    assert at_t0.read(queries.status).alerts == AlertCounts({"P0": 1, "P1": 0, "P2": 0, "P3": 0}, 1)
    found = at_t0.read(queries.list_alerts).rows
    assert [(a.name, a.state, a.ends_at, a.reason) for a in found] == [
        ("B", "resolved", T0 + 5, "late"),
        ("A", "firing", None, ""),
    ]
    assert [a.name for a in at_t0.read(queries.list_alerts, firing=True).rows] == ["A"]
    assert at_t0.read(queries.list_alerts, severities=["high"]).rows == []
    assert [a.name for a in at_t0.read(queries.list_alerts, severities=["critical"]).rows] == ["A"]


def test_pages_of_alerts_join_without_gaps_whatever_is_raised_meanwhile(
    config: Path, database_url: str
) -> None:
    Database.open(database_url).close()
    with open_access(config, {"STORE": database_url}) as access:
        _raise(access.database, *(_signal(f"A{n}", "P1") for n in range(5)))
        first = access.read(queries.list_alerts, limit=2)
        _raise(access.database, _signal("New", "P1"))
        second = access.read(queries.list_alerts, limit=2, after=first.next)
        third = access.read(queries.list_alerts, limit=2, after=second.next)
    pages = [[a.name for a in page.rows] for page in (first, second, third)]
    assert (pages, third.next) == ([["A4", "A3"], ["A2", "A1"], ["A0"]], None)


def test_a_cursor_may_hold_any_numbers_that_a_database_has(config: Path, database_url: str) -> None:
    Database.open(database_url).close()
    most, least = 2**63 - 1, -(2**63)
    with open_access(config, {"STORE": database_url}) as access:
        _raise(access.database, _signal("A", "P1"))
        after = access.read(queries.list_alerts, after=f"alerts.{most}.{most}")
        assert [a.name for a in after.rows] == ["A"]
        assert access.read(queries.list_alerts, after=f"alerts.{least}.{least}").rows == []
        assert access.read(queries.list_transfers, after=f"transfers.{most}").rows == []


def test_pages_of_transfers_join(config: Path, database_url: str) -> None:
    Database.open(database_url).close()
    with open_access(config, {"STORE": database_url}) as access:
        with access.database.transaction() as connection:
            sent = Occurrence("send", "alpha", 7, 0, T0, bytes(32), {})
            new = [Transfer("bridge", str(n), opened_at=T0, occurrences=(sent,)) for n in range(3)]
            transfers.save(connection, [(one, one) for one in new])
        first = access.read(queries.list_transfers, limit=2)
        second = access.read(queries.list_transfers, limit=2, after=first.next)
    assert [[t.key for t in page.rows] for page in (first, second)] == [["2", "1"], ["0"]]
    assert second.next is None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"after": "transfers.7"}, "is not a cursor of alerts"),
        ({"after": "alerts.7"}, "is not a cursor of alerts"),
        ({"after": "alerts.1.99999999999999999999"}, "is not a cursor of alerts"),
        ({"after": "alerts.1.\u0661"}, "is not a cursor of alerts"),
        ({"after": ""}, "is not a cursor of alerts"),
        ({"limit": 0}, "limit: 0 is not between 1 and"),
        ({"since": float("nan")}, "since: nan is not a time in Unix seconds"),
        ({"until": T0 * 1000}, "give seconds, not milliseconds"),
        ({"severities": ["P9"]}, "severity 'P9' is none of p0"),
    ],
)
def test_wishes_that_no_list_can_serve_are_invalid(at_t0: Access, wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        at_t0.read(queries.list_alerts, **wanted)


def test_a_status_that_no_transfer_has_is_invalid(at_t0: Access) -> None:
    with pytest.raises(Invalid, match="status: 'late' is none of"):
        at_t0.read(queries.list_transfers, statuses=["late"])


def test_a_receiver_that_is_gone_from_the_configuration_is_still_shown(at_t0: Access) -> None:
    with at_t0.database.transaction() as connection:
        outbox.enqueue(connection, [("old", "k", outbox.Payload({}, (), ()))], T0)
    assert [q.receiver for q in at_t0.read(queries.status).queues] == ["ops", "old"]
    assert at_t0.read(queries.status).queues[1].pending == 1


def test_the_latency_of_nothing_is_nothing(at_t0: Access) -> None:
    assert at_t0.read(queries.latency) == []
    assert at_t0.read(queries.latency, flow="unknown", since=5, until=1) == []
    with pytest.raises(Invalid, match="since"):
        at_t0.read(queries.latency, since=float("inf"))
