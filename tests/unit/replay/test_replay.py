"""How a replay understands where to begin and to end."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from chainwatch.replay.bounds import parse_when


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0", 0),
        ("16233067", 16_233_067),
        ("999999999", 999_999_999),
        ("1000000000", datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
        ("1680682306", datetime(2023, 4, 5, 8, 11, 46, tzinfo=UTC)),
        ("2023-04-05", datetime(2023, 4, 5, tzinfo=UTC)),
        ("2023-04-05T08:11:46Z", datetime(2023, 4, 5, 8, 11, 46, tzinfo=UTC)),
        ("2023-04-05 08:11", datetime(2023, 4, 5, 8, 11, tzinfo=UTC)),
        ("2023-04-05T08:11:46+02:00", datetime(2023, 4, 5, 8, 11, 46, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_place_in_history_is_a_block_number_or_a_moment(text: str, meant: int | datetime) -> None:
    assert parse_when(text) == meant


@pytest.mark.parametrize("text", ["", "-1", "yesterday", "2023-04-31", "0x10", "1e9", "99999999999999999999"])
def test_what_is_neither_is_refused_as_a_bad_value(text: str) -> None:
    with pytest.raises(ValueError):
        parse_when(text)
