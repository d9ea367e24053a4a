"""The totals of transfers, counted row by row."""

from collections import Counter

import sqlalchemy as sa

from chainwatch.store import transfer_totals
from chainwatch.store.tables import transfers
from chainwatch.store.transfer_totals import Total, place


def assert_totals_are_right(connection: sa.Connection) -> None:
    """The stored totals are those that counting gives, whatever was done before."""
    columns = [transfers.c[name] for name in Total._fields]
    rows = connection.execute(sa.select(*columns).where(transfers.c.status != "excluded"))
    counted = Counter(Total(r.flow, place(r.origin), place(r.destination), r.status) for r in rows)
    assert transfer_totals.totals(connection) == counted
