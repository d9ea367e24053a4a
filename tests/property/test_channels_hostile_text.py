"""Whatever a chain says, no channel's output gains a line, a link, a mention or markup."""

import io
import logging
import re
import unicodedata
from html.parser import HTMLParser
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from rich.console import Console

from chainwatch import logs
from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import console, discord, pagerduty
from chainwatch.alerting.providers.discord import DiscordSettings
from chainwatch.alerting.providers.mail_layout import compose
from chainwatch.alerting.providers.text import markdown
from chainwatch.commands.show import alerts, people, terminal
from chainwatch.config import LogSettings
from chainwatch.operations.incidents import IncidentAlert, IncidentView, TimelineEntry
from chainwatch.operations.routing import RoutesView, RouteView
from tests.unit.alerting.helpers import T0, notification, notified

PIECES = [
    *(
        "\n",
        "\r\n",
        "\u2028",
        "\u2029",
        "\x85",
        "\v",
        "\x1b[31m",
        "\x1b]8;;https://evil.example\x1b\\",
        "\x9b2J",
    ),
    *("\u200b", "\u200f", "\u061c", "\u202e", "\u2066", "\ufe0f", "\U000e0041", "\xad", "\ud800", "\0"),
    *(
        "https://evil.example/x",
        "http://[::1]/",
        "discord.gg/abc",
        "steam://run",
        "www.evil.example",
        "a@b.example",
    ),
    *(
        "[x](https://evil.example)",
        "<https://evil.example>",
        "@everyone",
        "@here",
        "<@1>",
        "<@&1>",
        "<#1>",
        "</x:1>",
    ),
    *(
        "<:name:1>",
        "<a:name:1>",
        ":smile:",
        ":100:",
        "<t:0:R>",
        "<id:guide>",
        "# head",
        "-# small",
        "> quote",
        ">>> all",
    ),
    *(
        "- item",
        "1. item",
        "* item",
        "**b**",
        "__u__",
        "~~s~~",
        "||secret||",
        "```\ncode\n```",
        "`c`",
        "\\",
        "[bold]x[/]",
    ),
    *(" P0  FIRING TransferOverdue  since 2023-11-14 22:13:20 UTC", " " * 80, "x", "漢字", "€"),
]
hostile = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), min_size=1, max_size=8).map("".join)

ACTIVE = re.compile(
    r"""(?<!\\)(?:\\\\)*(?:
        [*_~`|<>\[\]\#]              # emphasis, code, spoilers, mentions, links
        | :(?=/|[a-z]+:) | \.(?=[a-z]) | @     # addresses, emoji, mentions
    )""",
    re.VERBOSE,
)
LIST = re.compile(r"^\s*(?:[-+*]|\d+[.)]|\#+|>)\s", re.MULTILINE)


def _about(hostile_text: str) -> Notification:
    one = notified(
        labels={"alertname": "TransferOverdue", "severity": "P1", "transfer": hostile_text},
        annotations={
            "summary": hostile_text,
            "description": hostile_text,
            "asset": hostile_text,
            hostile_text: "x",
        },
        reason=hostile_text,
        status="resolved",
        ends_at=T0 + 60,
    )
    return notification(one, group_labels={"alertname": "TransferOverdue", "transfer": hostile_text})


def _harmless() -> Notification:
    return _about("x")


def _has_nothing_hidden(shown: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in shown)


@given(said=hostile)
def test_a_piece_of_markdown_has_no_sign_that_counts(said: str) -> None:
    shown = markdown(said)
    assert _has_nothing_hidden(shown)
    assert not ACTIVE.search(re.sub(r"\\[^\w\s]", " ", shown))
    assert not LIST.search(shown)
    assert not re.search(r"(?<!\\)://", shown)


@given(said=hostile)
def test_a_discord_message_gains_nothing(said: str) -> None:
    channel = DiscordSettings(
        name="d", provider="discord", url=SecretStr("https://d.example/api/webhooks/1/t")
    )
    message, usual = (discord.payload(about, channel) for about in (_about(said), _harmless()))
    assert message["allowed_mentions"] == {"parse": []}
    for whole, wanted in zip(_texts(message), _texts(usual), strict=False):
        shown = re.sub(r"(?m)^> .*\n", "", whole)  # further lines of a description
        assert shown.count("\n") <= wanted.count("\n")
        quoted = re.sub(r"(?m)^> ", "", whole)
        ours = re.sub(r"<t:-?\d+:[fR]>", "", quoted.replace("**", "")) if quoted.startswith("**") else quoted
        ours = re.sub(r"(?<!\\)<t:\d+:[fR]>", "", ours)
        assert _has_nothing_hidden(ours.replace("\n", ""))
        assert not re.search(r"https?://|discord\.gg|@|(?<!\\)<|\]\(", ours)


def _texts(message: dict[str, Any]) -> list[str]:
    (embed,) = message["embeds"]
    return [message["content"], embed["title"], embed["description"] or ""]


LINKABLE = re.compile(r"://|@|(?<=\w)\.(?=[^\W\d_]{2})")


class _Structure(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":  # between the lines of a description
            self.tags.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "div"):
            self.text += "\n"  # what stands in another cell makes no link with this one

    def handle_data(self, data: str) -> None:
        if self.lasttag != "style":
            self.text += data


@given(said=hostile)
def test_a_mail_gains_no_tag_and_no_link(said: str) -> None:
    mail, usual = compose(_about(said)), compose(_about("x"))
    page, wanted = _Structure(mail.html), _Structure(usual.html)
    shown = [tag for tag in page.tags if tag[0] not in ("tr", "td")]  # a blank fact has no row
    assert shown == [tag for tag in wanted.tags if tag[0] not in ("tr", "td")] or len(shown) < len(
        wanted.tags
    )
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in wanted.tags}
    assert not any(
        name.startswith("on") or name in ("href", "src") for _, attrs in page.tags for name, _ in attrs
    )
    for text in (mail.subject, mail.text, page.text):
        assert _has_nothing_hidden(text.replace("\n", ""))
        assert not LINKABLE.search(text)
    assert "\n" not in mail.subject
    ours = [line for line in mail.text.splitlines() if line and not line.startswith("  ")]
    assert len(ours) == len([line for line in usual.text.splitlines() if line and not line.startswith("  ")])


@given(said=hostile)
def test_an_event_for_pagerduty_gains_no_link(said: str) -> None:
    (event, *_) = pagerduty.render(
        notification(*_about(said).alerts, notified(annotations={said: said}))
    ).events.values()
    (_, triggered) = pagerduty.render(
        notification(*_about(said).alerts, notified(annotations={said: said, "runbook_url": said}))
    ).events.values()
    texts = [*triggered["payload"].values(), *triggered["payload"]["custom_details"].values()]
    assert event.keys() == {"event_action", "dedup_key"}
    assert all(link["href"].startswith(("http://", "https://")) for link in triggered["links"])
    for text in texts:
        if isinstance(text, str) and text != "2023-11-14T22:13:20Z":
            assert _has_nothing_hidden(text)
            assert not LINKABLE.search(text)


@given(hostile, st.sampled_from([None, 40, 80, 200]))
def test_the_console_gains_no_line_that_begins_at_its_edge(said: str, width: int | None) -> None:
    on = None if width is None else Console(width=width, file=io.StringIO(), force_terminal=True)
    rows = console.layout(console.render(_about(said)), on).plain.split("\n")
    assert all(_has_nothing_hidden(row) for row in rows)
    assert sum(not row.startswith("     ") for row in rows) == 1
    facts = [row for row in rows if row[5:6] not in (" ", "│")]
    assert len(facts) <= len(console.layout(console.render(_about("x"))).plain.split("\n"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(said=hostile)
def test_a_table_in_a_pipe_has_one_line_for_each_row(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    terminal.table(("a", "b"), [(said, "x"), ("y", said)])
    shown = capsys.readouterr().out
    assert [row.count("\t") for row in shown.splitlines()] == [1, 1, 1]
    assert _has_nothing_hidden(shown.replace("\n", "").replace("\t", ""))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(said=hostile)
def test_an_incident_for_a_review_gains_no_line(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(text: str) -> str:
        labels = {"alertname": text, "severity": "P1"}
        view = IncidentView(
            id=1,
            group=text,
            labels=labels,
            severity="P1",
            alert_count=1,
            firing=1,
            opened_at=T0,
            ended_at=None,
            alerts=[IncidentAlert(1, labels, text, "firing", T0, T0, text)],
            timeline=[TimelineEntry(T0, "raised", text, actor=text)],
        )
        people.incident(view, as_json=False)
        return capsys.readouterr().out

    assert shown(said).count("\n") == shown("x").count("\n")
    assert not re.search(r"(?<!\\)://", re.sub("`.*`", "", shown(said)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(said=hostile)
def test_a_log_line_for_people_is_one_line(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format="human"))
    capsys.readouterr()
    structlog.get_logger("chainwatch.x").warning("refused", error=said, method=said)
    logging.getLogger("some.library").warning("said %s", said)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 2
    assert _has_nothing_hidden(shown.replace("\n", ""))
    try:
        raise ValueError(said)
    except ValueError:
        structlog.get_logger("chainwatch.x").exception("broke")
    first, *below = capsys.readouterr().err.rstrip("\n").split("\n")
    assert "broke" in first
    assert all(row.startswith("    ") and _has_nothing_hidden(row) for row in below)


def test_routes_and_explanations_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    route = RouteView(0, "{}", ["a"], False, True, True, "x\n\x1b[2J")
    alerts.routes(RoutesView([route], ["a"]), as_json=False)
    assert len(capsys.readouterr().out.splitlines()) == 3
