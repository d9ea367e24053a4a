"""Trouble that lasts makes few log lines (S10)."""

from __future__ import annotations

from structlog.testing import capture_logs

from chainwatch.chain.quiet import QuietLog


def test_trouble_of_an_hour_each_second_makes_a_handful_of_lines_S10() -> None:
    with capture_logs() as lines:
        log = QuietLog(network="net")
        for second in range(3600):
            log.failed(second, "reading failed", OSError("gone"))
    assert len(lines) == 6
    assert sum(line["times"] for line in lines) <= 3600
    assert [line["times"] for line in lines[:3]] == [1, 60, 120]
    assert {(line["network"], line["error"], line["log_level"]) for line in lines} == {
        ("net", "gone", "warning")
    }


def test_each_kind_of_trouble_is_reported() -> None:
    with capture_logs() as lines:
        log = QuietLog()
        for kind in ("one", "two", "one"):
            log.failed(0, kind, OSError())
    assert [line["event"] for line in lines] == ["one", "two"]


def test_the_end_is_reported_once_and_trouble_after_it_is_news_again() -> None:
    with capture_logs() as lines:
        log = QuietLog()
        log.recovered(0, "fine")
        log.failed(0, "bad", OSError())
        log.recovered(61, "fine")
        log.recovered(62, "fine")
        log.failed(63, "bad", OSError())
    assert [line["event"] for line in lines] == ["bad", "fine", "bad"]


def test_trouble_that_comes_and_goes_each_second_is_not_reported_each_time_S10() -> None:
    with capture_logs() as lines:
        log = QuietLog()
        for second in range(59):
            log.failed(second, "bad", OSError())
            log.recovered(second, "fine")
    assert [line["event"] for line in lines] == ["bad"]
