"""Transfers and open deadlines as rows."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainwatch.model import Deadline, Occurrence, Raised, Transfer
from chainwatch.store import schema, tables, transfer_search, transfers
from chainwatch.store.transfers import DeadlineChanges, Filter
from chainwatch.support.bounds import LABEL_MAX, cut

OCCURRENCE = Occurrence("send", "alpha", 5, 1, 50, b"t" * 32, {"amount": 1})
FIRING = Raised({"alertname": "TransferOverdue"}, 10, None, 1)


def transfer(key: str = "7", **changes: Any) -> Transfer:
    return Transfer(**{"flow": "bridge", "key": key, "occurrences": (OCCURRENCE,), **changes})


def save(connection: sa.Connection, *new: Transfer) -> list[Transfer]:
    """Store new transfers; gives them as stored."""
    transfers.save(connection, [(Transfer(t.flow, t.key), t) for t in new])
    found = transfers.load(connection, [(t.flow, t.key) for t in new])
    return [found[t.flow, t.key] for t in new]


def test_a_transfer_comes_back_as_it_was(connection: sa.Connection) -> None:
    given = transfer(
        status="overdue",
        origin="alpha",
        destination="beta",
        opened_at=50,
        searched=True,
        raised={"a": FIRING, "b": Raised({"x": "y"}, 1, 2, 3)},
        deadlines={"settle": ("beta", 99)},
    )

    (stored,) = save(connection, given)

    assert stored == msgspec.structs.replace(given, id=stored.id)
    assert stored.id > 0


@pytest.mark.parametrize(
    "value",
    [
        2**256 - 1,
        2**63,
        2**63 - 1,
        -(2**255),
        -(2**63) - 1,
        True,
        None,
        b"\x00\xff",
        "☃\x00\ud7ff",
        [1, 2**256 - 1, [2**64]],
        {"amount": 2**256 - 1, "parts": [{"deep": 2**200}]},
    ],
    ids=repr,
)
def test_facts_are_kept_exactly(connection: sa.Connection, value: object) -> None:
    facts = {"value": value, "other": 1}
    (stored,) = save(connection, transfer(occurrences=(msgspec.structs.replace(OCCURRENCE, facts=facts),)))

    assert stored.occurrences[0].facts == facts
    assert type(stored.occurrences[0].facts["value"]) is type(value)


_engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
schema.metadata.create_all(_engine)


@given(st.dictionaries(st.text(), st.integers(-(2**255), 2**256 - 1)))
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)
def test_every_integer_of_the_evm_is_kept_exactly(facts: dict[str, int]) -> None:
    with _engine.connect() as connection:
        (stored,) = save(
            connection, transfer(occurrences=(msgspec.structs.replace(OCCURRENCE, facts=facts),))
        )
        connection.rollback()

    assert stored.occurrences[0].facts == facts


def test_keys_of_any_text_are_reported_apart(connection: sa.Connection) -> None:
    keys = ["7", "07", "7/", "ä", "a" * 100_000, ""]

    save(connection, *(transfer(key) for key in keys), transfer("7", flow="other"))

    found = transfers.load(connection, [("bridge", key) for key in keys])
    assert {key for _, key in found} == set(keys)


def test_deadlines_that_open_move_and_close_are_reported_and_stored(connection: sa.Connection) -> None:
    before = transfer()
    opened = transfer(deadlines={"fill": ("beta", 30), "settle": ("beta", 99)})

    first = transfers.save(connection, [(before, opened)])
    stored = transfers.load(connection, [("bridge", "7")])["bridge", "7"]
    second = transfers.save(
        connection, [(stored, msgspec.structs.replace(stored, deadlines={"settle": ("gamma", 99)}))]
    )

    number = stored.id
    assert first == DeadlineChanges(
        [Deadline(number, "fill", "beta", 30), Deadline(number, "settle", "beta", 99)], []
    )
    assert second == DeadlineChanges([Deadline(number, "settle", "gamma", 99)], [(number, "fill")])
    assert [tuple(r) for r in connection.execute(sa.select(tables.deadlines))] == [
        (number, "settle", "gamma", 99)
    ]


def test_a_transfer_without_events_is_not_stored_and_one_that_lost_them_goes_with_its_deadlines(
    connection: sa.Connection,
) -> None:
    transfers.save(connection, [(Transfer("bridge", "8"), Transfer("bridge", "8"))])
    (stored,) = save(connection, transfer(deadlines={"fill": ("beta", 30)}))

    changes = transfers.save(connection, [(stored, Transfer("bridge", "7", id=stored.id))])

    assert changes == DeadlineChanges([], [(stored.id, "fill")])
    assert list(transfers.select(connection, Filter())) == []
    assert connection.execute(sa.select(tables.deadlines)).all() == []


def test_due_deadlines_are_those_of_one_network_strictly_before_a_time_earliest_first(
    connection: sa.Connection,
) -> None:
    stored = save(
        connection,
        transfer("1", deadlines={"fill": ("beta", 30), "settle": ("beta", 20)}),
        transfer("2", deadlines={"fill": ("gamma", 10)}),
        transfer("3", deadlines={"fill": ("beta", 20)}),
    )

    due = transfers.due_before(connection, "beta", 30, 10)

    assert due == [
        Deadline(stored[0].id, "settle", "beta", 20),
        Deadline(stored[2].id, "fill", "beta", 20),
    ]
    assert transfers.due_before(connection, "beta", 31, 2) == due
    assert transfers.due_before(connection, "beta", 20, 10) == []


def test_deadlines_of_all_networks_are_read_page_by_page(connection: sa.Connection) -> None:
    save(
        connection,
        *(transfer(str(n), deadlines={"fill": ("beta", n // 3), "settle": ("gamma", 5)}) for n in range(9)),
    )

    pages: list[Deadline] = []
    position = (0, 0, "")
    while page := transfers.due_after(connection, position, 4, 4):
        pages += page
        position = (page[-1].due_at, page[-1].transfer_id, page[-1].step)

    assert [d.due_at for d in pages] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert len({d.transfer_id for d in pages}) == 9


def test_transfers_that_wait_on_a_network_are_found(connection: sa.Connection) -> None:
    save(
        connection,
        transfer("1", deadlines={"fill": ("beta", 30)}),
        transfer("2", deadlines={"fill": ("gamma", 10)}),
    )

    assert [t.key for t in transfers.waiting_on(connection, "beta", 10)] == ["1"]


def test_transfers_are_listed_newest_first_by_what_is_asked_for(connection: sa.Connection) -> None:
    save(
        connection,
        transfer("1", status="open", origin="alpha", destination="beta", opened_at=100),
        transfer("2", status="overdue", origin="beta", destination="alpha", opened_at=200),
        transfer("3", status="complete", origin="alpha", destination="gamma", opened_at=300, flow="other"),
    )

    def keys(wanted: Filter, limit: int | None = None) -> list[str]:
        return [t.key for t in transfers.select(connection, wanted, limit)]

    assert keys(Filter()) == ["3", "2", "1"]
    assert keys(Filter(), limit=2) == ["3", "2"]
    assert keys(Filter(flow="other")) == ["3"]
    assert keys(Filter(key="2")) == ["2"]
    assert keys(Filter(key="%")) == []
    assert keys(Filter(statuses=("open", "overdue"))) == ["2", "1"]
    assert keys(Filter(origin="alpha")) == ["3", "1"]
    assert keys(Filter(destination="beta")) == ["1"]
    assert keys(Filter(opened_from=200)) == ["3", "2"]
    assert keys(Filter(opened_before=200)) == ["1"]
    assert keys(Filter(opened_from=0, opened_before=100)) == []


@pytest.mark.parametrize("candidates", [2, 4, 100])
def test_a_window_has_all_that_opened_in_it_whatever_their_order(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch, candidates: int
) -> None:
    monkeypatch.setattr(transfer_search, "CANDIDATES_MAX", candidates)
    opened = [50, None, 10, 30, 30, 20, 40, None, 10]
    save(connection, *(transfer(str(n), opened_at=at) for n, at in enumerate(opened, 1)))
    moments = (None, 0.0, 9.5, 10.0, 10.5, 20.0, 30.0, 31.0, 50.0, 51.0)
    for since, until, before_id in itertools.product(moments, moments, (None, 1, 5, 9)):
        found = transfers.select(
            connection, Filter(opened_from=since, opened_before=until, before_id=before_id), 3
        )
        wanted = [
            str(n)
            for n, at in reversed(list(enumerate(opened, 1)))
            if (since is None or (at is not None and at >= since))
            and (until is None or (at is not None and at < until))
            and (before_id is None or n < before_id)
        ]
        assert [one.key for one in found] == wanted[:3], (since, until, before_id)


def test_transfers_are_counted_by_flow_and_status(connection: sa.Connection) -> None:
    save(
        connection,
        transfer("1"),
        transfer("2"),
        transfer("3", status="complete"),
        transfer("4", flow="other"),
    )

    assert transfers.counts(connection) == {"bridge": {"open": 2, "complete": 1}, "other": {"open": 1}}


def test_transfers_are_read_in_pages(connection: sa.Connection) -> None:
    stored = save(connection, transfer("1"), transfer("2", status="complete"), transfer("3", status="orphan"))

    first = transfers.page(connection, 0, 1)
    rest = transfers.page(connection, first[-1].id, 10)

    assert [t.id for t in first] == [stored[0].id]
    assert [t.id for t in rest] == [stored[1].id, stored[2].id]
    assert transfers.page(connection, 0, 10, ["another"]) == []


def test_a_row_that_something_else_wrote_is_refused_in_clear_words(connection: sa.Connection) -> None:
    (stored,) = save(connection, transfer())
    strange = msgspec.msgpack.encode(
        [[["send", "alpha", 1, 1, 1, b"", {"x": msgspec.msgpack.Ext(9, b"")}]], False, {}, {}]
    )
    connection.execute(
        sa.update(tables.transfers).where(tables.transfers.c.id == stored.id).values(state=strange)
    )

    with pytest.raises(ValueError, match="written by something else"):
        transfers.load(connection, [("bridge", "7")])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("0xAB12cdef/7", ["0xAB12cdef/7"]),
        ("0xab12", ["0xAB12cdef/7", "0xAB12cdef/8"]),
        ("0xAB12c…f/8", ["0xAB12cdef/8"]),
        ("0xAB12c…f/9", []),
        ("0xA_", []),
    ],
)
def test_transfers_are_found_by_the_beginning_of_their_key_and_as_alerts_shorten_it(
    connection: sa.Connection, wanted: str, found: list[str]
) -> None:
    save(connection, *map(transfer, ("0xAB12cdef/7", "0xAB12cdef/8", "0xff")))
    assert sorted(t.key for t in transfers.select(connection, Filter(key=wanted))) == found


def test_a_transfer_with_a_long_key_is_found_by_the_label_that_its_alerts_have(
    connection: sa.Connection,
) -> None:
    keys = ["%_€" * 3_000 + end for end in ("1", "2", "3")]
    save(connection, *map(transfer, keys))

    for key in keys:
        wanted = Filter(key=cut(key, LABEL_MAX))
        assert [t.key for t in transfers.select(connection, wanted, 1)] == [key]
        assert [t.key for t in transfers.select(connection, Filter(key=key))] == [key]
    assert list(transfers.select(connection, Filter(key="%_€…#" + "0" * 32))) == []


def test_a_transfer_is_found_by_the_transaction_of_any_of_its_steps(connection: sa.Connection) -> None:
    first, second = b"\x0a\xff" * 16, b"\x0b\x00" * 16
    later = Occurrence("fill", "beta", 6, 0, 60, second, {})
    opened = msgspec.structs.replace(OCCURRENCE, tx_hash=first)
    save(connection, transfer("7", occurrences=(opened, later)), transfer("8"), transfer("0x" + first.hex()))

    def keys(tx_hash: bytes) -> list[str]:
        return sorted(t.key for t in transfers.select(connection, Filter(key="0x" + tx_hash.hex())))

    assert keys(second) == ["7"]
    assert keys(first) == ["0x" + first.hex(), "7"]
    assert keys(b"\x0c" * 32) == []
