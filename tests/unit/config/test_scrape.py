"""The table [[scrape]]: what is refused, with its reason, and what is only doubted."""

from __future__ import annotations

from typing import Any

import pytest

from chainwatch.config import ConfigError, read_dict

TABLE: dict[str, Any] = {"job": "node", "targets": ["10.0.0.5:9100", "[::1]:9100", "host.example:80"]}


def read(*tables: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The problems and the warnings."""
    draft = read_dict({"scrape": [{**TABLE, **table} for table in tables]}, watches=False)
    return [str(problem) for problem in draft.problems], [str(problem) for problem in draft.warnings]


def test_what_is_left_out_has_defaults() -> None:
    (settings,) = read_dict({"scrape": [TABLE]}, watches=False).settings().scrape
    assert (settings.interval, settings.patience, settings.path, settings.scheme) == (
        15,
        10,
        "/metrics",
        "http",
    )
    short = read_dict({"scrape": [{**TABLE, "interval": "5s"}]}, watches=False).settings().scrape[0]
    assert short.patience == 5


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"targets": ["http://a:1"]}, "HOST:PORT"),
        ({"targets": ["a"]}, "HOST:PORT"),
        ({"targets": ["user:pw@a:1"]}, "HOST:PORT"),
        ({"targets": ["a:0"]}, "HOST:PORT"),
        ({"targets": []}, "at least one item"),
        ({"path": "metrics"}, "a path that begins with /"),
        ({"labels": {"a-b": "x"}}, "names of labels"),
        ({"labels": {"job": "x"}}, "labels other than `job`"),
        ({"timeout": "20s"}, "a `timeout` no longer than `interval`"),
        ({"username": "a"}, "`username` and `password` together"),
        ({"username": "a", "password": "b", "token": "c"}, "either `token`"),
        ({"ca": "ca.pem"}, 'scheme = "https"'),
        ({"scheme": "https", "key": "k.pem"}, "`cert` with `key`"),
        ({"sample_limit": 0}, "at least 1"),
        ({"relabel_configs": []}, "unknown key"),
    ],
)
def test_a_mistake_is_refused(keys: dict[str, Any], reason: str) -> None:
    problems, _ = read(keys)
    assert [reason in problem for problem in problems] == [True]


def test_two_tables_of_one_job_are_refused() -> None:
    problems, _ = read({}, {})
    assert [("scrape[0] has this job already" in problem) for problem in problems] == [True]
    assert read({}, {"job": "other"}) == ([], [])


def test_secrets_that_are_sent_openly_are_doubted_and_never_shown() -> None:
    problems, warnings = read({"token": "s3cret"})
    assert (problems, len(warnings), "sent without encryption" in warnings[0]) == ([], 1, True)
    assert read({"token": "s3cret", "scheme": "https"}) == ([], [])
    assert "any certificate" in read({"scheme": "https", "insecure": True})[1][0]
    with pytest.raises(ConfigError) as caught:
        read_dict(
            {"scrape": [{**TABLE, "username": "a", "token": "s3cret", "x": 1}]}, watches=False
        ).settings()
    assert "s3cret" not in str(caught.value)
