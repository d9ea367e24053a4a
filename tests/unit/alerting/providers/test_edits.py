"""Which messages are edited."""

from chainwatch.alerting.providers.edits import first_message, receipt
from tests.unit.alerting.helpers import notification


def test_a_digest_leaves_the_one_of_the_day_before_as_it_was() -> None:
    earlier = receipt("C1", is_over=False, message="1")
    assert first_message(notification(), earlier, "C1") == earlier.remote_ids
    assert first_message(notification(kind="digest"), earlier, "C1") is None
