"""What is kept beside the transfers, compared with what reading all of these gives."""

from collections import Counter
from collections.abc import Mapping

import sqlalchemy as sa

from chainwatch.checker.flow import Flow
from chainwatch.flows.transfer_index import entry
from chainwatch.store import emitted_logs, transfer_totals
from chainwatch.store import transfer_index as index_store
from chainwatch.store import transfers as transfer_store
from chainwatch.store.index_tables import step_counts, transfer_index, transfer_terms
from chainwatch.store.tables import transfers
from chainwatch.store.transfer_index import Entry
from chainwatch.store.transfer_totals import Total, place


def assert_totals_are_right(connection: sa.Connection) -> None:
    """The stored totals are those that counting gives, whatever was done before."""
    columns = [transfers.c[name] for name in Total._fields]
    rows = connection.execute(sa.select(*columns).where(transfers.c.status != "excluded"))
    counted = Counter(Total(r.flow, place(r.origin), place(r.destination), r.status) for r in rows)
    assert transfer_totals.totals(connection) == counted


def assert_index_is_right(connection: sa.Connection, flows: Mapping[str, Flow]) -> None:
    """The index, of which no change waits, is what all stored transfers give that are read now."""
    entries: dict[int, Entry] = {}
    for transfer in transfer_store.page(connection, 0, 2**31):
        entries[transfer.id] = entry(
            flows.get(transfer.flow), transfer, emitted_logs.load(connection, transfer.occurrences)
        )
    entries = {number: one for number, one in entries.items() if one != Entry()}
    stored = connection.execute(sa.select(transfer_index.c.transfer_id)).scalars().all()
    assert index_store.entries(connection, stored) == entries
    terms = connection.execute(sa.select(transfer_terms.c.term, transfer_terms.c.transfer_id))
    assert set(map(tuple, terms)) == {(t, number) for number, one in entries.items() for t in one.terms}
    numbers: Counter[tuple[object, ...]] = Counter()
    late: Counter[tuple[object, ...]] = Counter()
    for one in entries.values():
        for step, seconds, is_late in one.counted:
            numbers[*(one.route or ()), step, seconds] += 1
            late[*(one.route or ()), step, seconds] += is_late
    rows = connection.execute(sa.select(step_counts)).all()
    assert {tuple(row[:6]): (row.number, row.late) for row in rows if row.number or row.late} == {
        key: (number, late[key]) for key, number in numbers.items()
    }
