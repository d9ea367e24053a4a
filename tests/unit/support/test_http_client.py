"""What all HTTP clients share."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from chainwatch.support.http_client import retry_after


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("1.5", 1.5), ("999999999", 999_999_999.0)],
)
def test_a_number_of_seconds(text: str, seconds: float) -> None:
    assert retry_after({"Retry-After": text}) == seconds


def test_a_date_counts_from_the_date_of_the_answer() -> None:
    headers = {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_after(headers) == 30.0
    assert retry_after(headers | {"Retry-After": "Wed, 21 Oct 2015 07:27:00 GMT"}) == 0.0


def test_a_date_counts_from_now_where_the_answer_has_none() -> None:
    assert retry_after({"Retry-After": formatdate(time.time() + 600)}) == pytest.approx(570, abs=30)
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT", "Date": "²"}) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "²",
        "١٢",
        "-1",
        "+1",
        "1e3",
        "inf",
        "nan",
        "0x10",
        "9" * 10_000,
        "soon",
        "Mon, 99999999999999999999 Jan 2024 00:00:00 GMT",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01",
        ",",
        "\udcff",
        "Mon, 01 Jan 2024 99:99:99 GMT",
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
    ],
)
def test_all_else_reports_nothing(text: str) -> None:
    assert retry_after({"Retry-After": text}) is None
    assert retry_after({"Retry-After": "5", "Date": text}) == 5.0


def test_no_header_reports_nothing() -> None:
    assert retry_after({}) is None
    assert retry_after(None) is None
