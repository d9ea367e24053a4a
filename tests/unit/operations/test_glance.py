"""What `chainwatch top` reads."""

from chainwatch.operations.context import Access
from chainwatch.operations.glance import glance
from tests.support.operating import raise_alert


def test_what_fires_comes_with_networks_and_transfers(access: Access) -> None:
    raise_alert(access, "Late", "P2")
    raise_alert(access, "Orphan", "P0")

    found = access.read(glance)

    assert [(one.severity, one.firing) for one in found.urgency] == [("P0", 1), ("P2", 1)]
    assert found.status == access.read(lambda c, x, n: glance(c, x, n).status)
    assert found.in_flight == []
