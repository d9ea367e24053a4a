"""Answers by idempotency key: how long, and how many."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chainwatch.store import idempotency as kept


def answer(body: bytes = b"{}") -> kept.StoredAnswer:
    return kept.StoredAnswer(b"r", 200, "application/json", body)


def test_an_answer_is_kept_for_a_day(connection: sa.Connection) -> None:
    kept.keep(connection, b"k", "ann", answer(), 1_000.0)
    assert kept.find(connection, b"k", 1_000.0 + kept.KEPT_FOR) == answer()
    assert kept.find(connection, b"k", 1_001.0 + kept.KEPT_FOR) is None
    assert kept.find(connection, b"other", 1_000.0) is None
    kept.keep(connection, b"k", "ann", answer(b"2"), 1_001.0 + kept.KEPT_FOR)
    assert kept.find(connection, b"k", 1_001.0 + kept.KEPT_FOR) == answer(b"2")


def test_of_one_caller_s_answers_the_newest_are_kept(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "KEPT_MAX", 3)
    kept.keep(connection, b"bob", "bob", answer(), 0.0)
    for number in range(5):
        kept.keep(connection, b"%d" % number, "ann", answer(), float(number))
    assert [n for n in range(5) if kept.find(connection, b"%d" % n, 5.0)] == [2, 3, 4]
    assert kept.find(connection, b"bob", 5.0) == answer()
