"""What is sent in memory: taken at once, many together, bounded, and nothing lost with another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest
import structlog.testing

from chainwatch.alerting.engine.submission import Submission, parse
from chainwatch.embedded import inbox
from chainwatch.embedded.inbox import TOGETHER_MAX, Inbox, Overloaded
from chainwatch.store.errors import StoreError


class Writer:
    """The writer's thread, which does one thing at a time when it may."""

    def __init__(self) -> None:
        self.handed_over: list[tuple[Callable[[], Sequence[Submission]], Future[None]]] = []
        self.taken: list[list[str]] = []

    def accept(self, take: Callable[[], Sequence[Submission]]) -> Future[None]:
        future: Future[None] = Future()
        self.handed_over.append((take, future))
        return future

    def work(self, refused: Callable[[list[str]], bool] = lambda _: False) -> None:
        while self.handed_over:
            take, future = self.handed_over.pop(0)
            names = [one.labels["alertname"] for one in take()]
            if refused(names):
                future.set_exception(StoreError("no"))
            else:
                self.taken.append(names)
                future.set_result(None)


def sent(name: str, size: int = 1) -> list[Submission]:
    return parse([{"labels": {"alertname": name}, "annotations": {"a": "x" * size}}])


def test_what_is_sent_while_the_writer_is_busy_is_taken_up_together_and_in_order() -> None:
    writer = Writer()
    box = Inbox(writer.accept)
    for number in range(TOGETHER_MAX + 5):
        box.put(sent(str(number)))
    assert len(writer.handed_over) == 2
    writer.work()
    assert [len(names) for names in writer.taken] == [TOGETHER_MAX, 5]
    box.put(sent("later"))
    writer.work()
    assert [name for names in writer.taken for name in names] == [
        *map(str, range(TOGETHER_MAX + 5)),
        "later",
    ]


def test_whoever_sends_more_than_can_be_taken_up_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "WAITING_MAX", 20_000)
    writer = Writer()
    box = Inbox(writer.accept)
    for number in range(10):
        box.put(sent(str(number), 1_000))
    too_much = sent("too much", 9_000)
    with pytest.raises(Overloaded, match="again") as refused:
        box.put(too_much)
    assert refused.value.transient
    writer.work()
    assert writer.taken == [list(map(str, range(10)))]
    box.put(sent("again", 1_000))
    writer.work()
    assert writer.taken[-1] == ["again"]


def test_one_that_cannot_be_kept_takes_no_others_with_it() -> None:
    writer = Writer()
    box = Inbox(writer.accept)
    for name in ("a", "bad", "b"):
        box.put(sent(name))
    with structlog.testing.capture_logs() as said:
        writer.work(lambda names: "bad" in names)
    assert writer.taken == [["a"], ["b"]]
    assert len(said) == 1


def test_a_refusal_before_its_turn_loses_nothing_that_comes_later() -> None:
    writer = Writer()
    box = Inbox(writer.accept)
    box.put(sent("a"))
    _, future = writer.handed_over.pop()
    future.set_exception(StoreError("the database is away"))
    box.put(sent("b"))
    writer.work()
    assert writer.taken == [["b"]]


def test_a_closed_database_says_so_each_time() -> None:
    def closed(_: object) -> Future[None]:
        raise StoreError("cannot write: the database is closed")

    box = Inbox(closed)
    for _ in range(2):
        with pytest.raises(StoreError, match="closed"):
            box.put(sent("a"))
