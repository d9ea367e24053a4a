"""Samples as JSON: what is read, and how each mistake is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.ingestion.json_samples import SAMPLES_MAX, parse_json
from chainwatch.ingestion.model import IngestionError
from chainwatch.promql.series import Labels

NOW = 1_795_316_389_137


def read(*samples: dict[str, Any]) -> list[tuple[dict[str, str], list[int], list[float]]]:
    found = parse_json(json.dumps({"samples": samples}).encode(), NOW).series
    return [(dict(labels), list(times), list(values)) for labels, times, values in found]


def test_a_sample_without_a_time_is_of_now() -> None:
    labels = {"__name__": "depth", "queue": "mail"}
    assert read({"name": "depth", "labels": {"queue": "mail"}, "value": 42}) == [(labels, [NOW], [42.0])]


def test_times_are_seconds_or_milliseconds_and_come_in_any_order() -> None:
    found = read(
        {"name": "a", "value": 2, "time": 1_795_316_380_001},
        {"name": "a", "value": 1, "time": 1_795_316_379.5},
    )
    assert found == [({"__name__": "a"}, [1_795_316_379_500, 1_795_316_380_001], [1.0, 2.0])]


def test_what_is_no_finite_number_is_a_text() -> None:
    ((_, _, (value,)),) = read({"name": "a", "value": "NaN"})
    assert math.isnan(value)
    assert read({"name": "a", "value": "-Inf"}) == [({"__name__": "a"}, [NOW], [-math.inf])]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"name": "9a", "value": 1}, 'samples[0]: "9a" is no metric name'),
        ({"name": "", "value": 1}, "without a name"),
        ({"name": "a", "value": 1, "labels": {"a-b": "x"}}, '"a-b" is no label name'),
        ({"name": "a", "value": 1, "labels": {"": "x"}}, "a label without a name"),
        ({"name": "a", "value": 1, "labels": {"__name__": "b"}}, "the name stands in name"),
        ({"name": "a", "value": 1, "labels": {"x": "\0"}}, "the character NUL"),
        ({"name": "a", "value": 1, "labels": {"x": 1}}, "Expected `str`"),
        ({"name": "a", "value": "12"}, '"12" is no number: write it without quotes'),
        ({"name": "a", "value": None}, "got `null`"),
        ({"name": "a"}, "missing required field `value`"),
        ({"name": "a", "value": 1, "lables": {}}, "unknown field `lables`"),
        ({"name": "a", "value": 1, "time": 1e300}, "too far from 1970"),
    ],
)
def test_a_mistake_is_refused_with_its_place(sample: dict[str, Any], reason: str) -> None:
    with pytest.raises(IngestionError) as caught:
        read(sample)
    assert reason in str(caught.value)


def test_two_samples_of_one_series_and_time_are_refused() -> None:
    with pytest.raises(IngestionError, match=r"samples\[1\]: its series has another sample of the same time"):
        read({"name": "a", "value": 1}, {"name": "a", "value": 1})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"samples": [{"name": "\xff", "value": 1}]}',
        b"[" * 100_000,
        b'{"samples": 1e999}',
    ],
)
def test_what_is_no_such_document_is_refused(body: bytes) -> None:
    with pytest.raises(IngestionError):
        parse_json(body, NOW)


def test_the_samples_of_one_document_are_bounded() -> None:
    with pytest.raises(IngestionError, match=f"length <= {SAMPLES_MAX}"):
        parse_json(
            b'{"samples": [' + b'{"name": "a", "value": 1},' * SAMPLES_MAX + b'{"name": "a", "value": 1}]}',
            NOW,
        )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["samples", "name", "value", "labels", "time"]), inner, max_size=4)
    ),
)


@given(_JSON | st.fixed_dictionaries({"samples": st.lists(_JSON, max_size=2)}))
def test_any_document_is_read_or_refused(document: Any) -> None:
    try:
        found = parse_json(json.dumps(document).encode(), NOW)
    except IngestionError:
        return
    assert all(isinstance(labels, Labels) for labels, _, _ in found.series)
