"""The commands about people, run as a person runs them, on a database as the running process leaves it."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chainwatch import cli
from chainwatch.alert_model import Transition
from chainwatch.alerting.delivery.queue import ReceiverQueue
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.policies import Policies
from chainwatch.alerting.providers import Transport, build_provider
from chainwatch.config import Settings, load
from chainwatch.model import Signal
from chainwatch.store.alerting import alerts, history, outbox
from chainwatch.store.claim import claimed
from chainwatch.store.database import Database
from tests.support.receiver import Answer, Receiver

T0 = 1_767_600_000  # 2026-01-05 08:00 UTC, a Monday

CONFIG = """
[store]
url = "${STORE}"
[networks.alpha]
chain_id = 1
rpc = ["http://localhost:1"]
[receivers.ops]
provider = "webhook"
url = "${HOOK}"
allow_private = true
[receivers.phone]
provider = "console"
[people.anna]
receivers = ["phone"]
[people.ben]
receivers = ["phone"]
[oncall.primary]
zone = "Europe/Berlin"
[[oncall.primary.layers]]
people = ["anna", "ben"]
start = "2026-01-05"
[oncall.office]
[[oncall.office.layers]]
people = ["ben"]
during = ["office"]
[intervals.office]
times = ["09:00-17:00"]
weekdays = ["monday-friday"]
[escalations.wake]
[[escalations.wake.steps]]
wait = "5m"
notify = ["oncall:primary"]
[[routes]]
receivers = ["ops"]
group_wait = "0s"
escalation = "wake"
"""


class Shell:
    """A configuration file, its database, and a way to run commands on them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = folder / "config.toml"
        self.file.write_text(CONFIG)
        self.environ = {"STORE": f"sqlite:///{folder / 'w.db'}", "HOOK": "http://127.0.0.1:1/"}
        self._patch = monkeypatch
        self.set_hook("http://127.0.0.1:1/")
        monkeypatch.setenv("STORE", self.environ["STORE"])

    def set_hook(self, url: str) -> None:
        self.environ["HOOK"] = url
        self._patch.setenv("HOOK", url)

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(cli.main, ["--config", str(self.file), *words])

    def json(self, *words: str) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    @property
    def settings(self) -> Settings:
        return load(self.file, self.environ)

    def manager(self) -> AlertEngine:
        settings = self.settings
        return AlertEngine(settings.routes, dict.fromkeys(settings.receivers, True), 0, Policies.of(settings))


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, monkeypatch)


@pytest.fixture
def database(shell: Shell) -> Iterator[Database]:
    with closing(Database.open(shell.environ["STORE"], durable=False)) as opened:
        yield opened


def signal(transfer: str, severity: str = "P1", at: int = T0, **fields: Any) -> Signal:
    labels = {"alertname": "TransferOverdue", "flow": "bridge", "transfer": transfer, "severity": severity}
    return Signal(labels, at, {"summary": f"{transfer} is *late*"}, **fields)


# --- on call ----------------------------------------------------------------------------------------------


def test_who_is_on_call_is_reported_with_the_time_until_which(shell: Shell, database: Database) -> None:
    (found,) = shell.json("oncall", "now", "primary", "--at", "2026-01-13T12:00")
    assert (found["person"], found["by"]) == ("ben", "layer 1")
    assert (found["from"], found["until"]) == (1768305600, 1768809600)  # until the 19th, 09:00 in Berlin


def test_the_next_handoffs_are_reported_and_gaps_among_them(shell: Shell, database: Database) -> None:
    primary = shell.json("oncall", "next", "primary", "--number", "3", "--at", "2026-03-24T00:00")
    assert [(s["person"], s["from"]) for s in primary] == [
        ("anna", 1774854000),  # 30 March, 09:00 in Berlin, after the change of the clock
        ("ben", 1775458800),
        ("anna", 1776063600),
    ]
    office = shell.json("oncall", "next", "office", "--number", "2", "--at", "2026-01-09T12:00")
    assert [s["person"] for s in office] == [None, "ben"]
    assert "nobody" in shell.run("oncall", "next", "office").output


def test_of_one_who_is_always_on_call_no_end_is_reported(shell: Shell, database: Database) -> None:
    shell.file.write_text(CONFIG.replace('people = ["anna", "ben"]', 'people = ["anna"]'))
    (found,) = shell.json("oncall", "now", "primary")
    assert (found["person"], found["until"]) == ("anna", None)
    assert shell.json("oncall", "next", "primary") == []
    assert "anna" in shell.run("oncall", "now", "primary").output


@pytest.mark.parametrize(("end", "hours"), [(("--until", "2h"), 2), (("--from", "1h", "--until", "3h"), 3)])
def test_a_duration_given_for_a_time_to_come_counts_from_now(
    shell: Shell, database: Database, end: tuple[str, ...], hours: int
) -> None:
    now = time.time()
    assert shell.run("oncall", "override", "add", "primary", "ben", *end).exit_code == 0
    (listed,) = shell.json("oncall", "override", "list")
    assert listed["until"] == pytest.approx(now + hours * 3600, abs=60)


def test_who_is_on_call_is_shown_before_there_is_a_database(shell: Shell) -> None:
    assert shell.json("oncall", "now", "primary")[0]["person"] in ("anna", "ben")
    assert "overrides" in shell.run("oncall", "now").stderr
    assert shell.run("oncall", "next").exit_code == 0
    assert not Path(shell.environ["STORE"].removeprefix("sqlite:///")).exists()


def test_an_override_puts_another_on_call_until_it_is_taken_back(shell: Shell, database: Database) -> None:
    added = shell.run("oncall", "override", "add", "primary", "ben", "--for", "8h", "--author", "anna")
    assert added.output == "override 1: ben is on call in primary\n"
    (found,) = shell.json("oncall", "now", "primary")
    assert (found["person"], found["by"]) == ("ben", "override")
    (listed,) = shell.json("oncall", "override")
    assert (listed["id"], listed["author"], listed["until"] - listed["from"]) == (1, "anna", 8 * 3600)
    assert shell.run("oncall", "override", "remove", "1").exit_code == 0
    assert shell.json("oncall", "override") == []
    assert shell.run("oncall", "override", "remove", "1").exit_code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("oncall", "now", "primry"), 'did you mean "primary"?'),
        (("oncall", "override", "add", "primary", "bne", "--for", "1h"), 'did you mean "ben"?'),
        (("oncall", "override", "add", "primary", "ben"), "--until"),
        (
            ("oncall", "override", "add", "primary", "ben", "--from", "2000000000", "--until", "1"),
            "end after",
        ),
        (("incident", "7"), "there is no incident 7"),
        (("receivers", "test", "opss"), 'did you mean "ops"?'),
        (("stats", "--since", "1h", "--until", "2h"), "ends before it begins"),
    ],
)
def test_what_is_named_wrongly_is_reported_with_a_hint(
    shell: Shell, database: Database, words: tuple[str, ...], said: str
) -> None:
    result = shell.run(*words)
    assert result.exit_code == 2
    assert said in result.output


def test_check_warns_of_gaps_within_thirty_days_and_an_override_fills_them(
    shell: Shell, database: Database
) -> None:
    gaps = shell.json("check")["gaps"]
    assert {gap["schedule"] for gap in gaps} == {"office"}
    assert "warning: office has nobody on call from " in shell.run("check").output
    shell.run("oncall", "override", "add", "office", "anna", "--for", "31d")
    assert shell.json("check")["gaps"] == []


def test_check_needs_no_database(shell: Shell) -> None:
    result = shell.run("check")
    assert result.exit_code == 0
    assert "nobody on call" in result.output


# --- incidents and statistics -----------------------------------------------------------------------------


def test_an_incident_is_printed_as_markdown_with_everything_in_order(
    shell: Shell, database: Database
) -> None:
    manager = shell.manager()
    with database.transaction() as connection:
        manager.apply(connection, [signal("0x01"), signal("0x02")], T0)
        history.record(connection, [Transition(1, T0 + 60, "acknowledged", "", "anna", "looking")])
        manager.flush(connection, T0 + 300)
        (first, *_) = reversed(outbox.list_notifications(connection))
        outbox.mark_delivered(connection, [(first.id, T0 + 1.5)])
        ends = [signal(t, ends_at=T0 + 600, reason="late") for t in ("0x01", "0x02")]
        manager.apply(connection, ends, T0 + 601)
    assert shell.run("incident", "1", "--note", "the relayer was down", "--author", "ben").exit_code == 0
    page = shell.run("incident", "1").output
    lines = [line for line in page.splitlines() if line.startswith("- 20")]
    notified = [
        "**acknowledged**",
        "**delivered** notification 1 to ops (2 firing) delivered after 1.5 s",
        "oncall:primary (anna) → phone",
        "**resolved**",
        "— ben",
    ]
    assert page.startswith("# Incident 1: TransferOverdue\n")
    assert all(any(words in line for line in lines) for words in notified), page
    assert [line[2:25] for line in lines] == sorted(line[2:25] for line in lines)
    assert "0x01 is \\*late\\*" in page
    (listed,) = shell.json("incidents")
    assert (listed["severity"], listed["alert_count"], listed["firing"]) == ("P1", 2, 0)
    assert shell.json("incidents", "--open") == []


def test_statistics_count_times_noise_deliveries_and_the_window_before(
    shell: Shell, database: Database
) -> None:
    manager = shell.manager()
    with database.transaction() as connection:
        manager.apply(connection, [signal("0x00", at=T0 - 4000)], T0 - 4000)
        manager.apply(connection, [signal("0x01"), signal("0x02", "P2"), signal("0x03", "P2")], T0)
        history.record(connection, [Transition(2, T0 + 120, "acknowledged", "", "anna")])
        manager.apply(connection, [signal("0x02", "P2", ends_at=T0 + 30, reason="late")], T0 + 30)
        manager.apply(connection, [signal("0x03", "P2", ends_at=T0 + 300, reason="late")], T0 + 300)
        sent = outbox.list_notifications(connection, receiver="ops")
        outbox.mark_delivered(connection, [(sent[-2].id, sent[-2].created_at + 2.0)])
        outbox.mark_dead(connection, sent[-3], "refused", T0 + 500)
    with database.reading() as connection:
        assert len(alerts.list_alerts(connection)) == 4
    view = shell.json("stats", "--since", str(T0 - 3600), "--until", str(T0 + 3600))
    assert (view["alerts"], view["before"]["alerts"]) == (3, 1)
    assert view["by_severity"] == {"P0": 0, "P1": 1, "P2": 2, "P3": 0}
    assert view["by_name"] == {"TransferOverdue": 3}
    assert view["by_source"] == {"bridge": 3}
    assert view["active"]["P1"] == 2
    assert (view["mean_time_to_acknowledge"], view["mean_time_to_resolve"]) == (120.0, 165.0)
    assert view["noise"] == 1
    (ops, *_) = view["receivers"]
    assert (ops["delivered"], ops["dead"], ops["failed_attempts"], ops["latency"]["p50"]) == (1, 1, 1, 2.0)
    shown = shell.run("stats", "--since", str(T0 - 3600), "--until", str(T0 + 3600)).output
    assert "mean time to resolve" in shown
    assert "+200%" in shown


def test_explain_reports_which_step_reported_a_receiver_that_no_route_names(
    shell: Shell, database: Database
) -> None:
    manager = shell.manager()
    with database.transaction() as connection:
        manager.apply(connection, [signal("0x01")], T0)
        manager.flush(connection, T0 + 300)
    found = {one["receiver"]: one for one in shell.json("alerts", "explain", "1")["receivers"]}
    assert found["phone"]["why"] == "escalation, step 1: oncall:primary (anna): it is in the queue"
    assert [n["says"] for n in found["phone"]["notifications"]] == ["firing"]
    assert "step 1: nobody has acknowledged this" in found["phone"]["notifications"][0]["note"]


def test_explain_reports_which_steps_were_not_taken_and_why(shell: Shell, database: Database) -> None:
    manager = shell.manager()
    with database.transaction() as connection:
        manager.apply(connection, [signal("0x01")], T0)
    assert shell.run("alerts", "ack", "1", "--by", "anna").exit_code == 0
    with database.transaction() as connection:
        manager.flush(connection, T0 + 300)
    said = [(one["kind"], one["text"]) for one in shell.json("alerts", "explain", "1")["escalation"]]
    assert said[1:] == [("stopped", "step 1 and what follows are not taken: acknowledged by anna")]
    assert "step 1 and what follows are not taken" in shell.run("alerts", "explain", "1").output


# --- receivers --------------------------------------------------------------------------------------------


def rows_left(database: Database) -> int:
    with database.reading() as connection:
        return len(alerts.list_alerts(connection))


async def test_a_sample_goes_to_the_receiver_marked_as_one_and_leaves_no_alert(
    shell: Shell, database: Database
) -> None:
    async with Receiver() as hook:
        shell.set_hook(hook.url)
        outcome = await asyncio.to_thread(shell.json, "receivers", "test", "ops")
        (request,) = hook.requests
    body = request.json()
    assert body["alerts"][0]["labels"]["alertname"] == "ReceiverTest"
    assert "test" in body["alerts"][0]["annotations"]["summary"]
    assert (outcome["delivered"], outcome["by"], outcome["attempts"]) == (True, "this command", 1)
    assert rows_left(database) == 0


async def test_a_receiver_can_be_tried_before_the_first_run(shell: Shell, tmp_path: Path) -> None:
    async with Receiver() as hook:
        config = tmp_path / "new.toml"
        config.write_text(
            f'''
            [store]
            url = "sqlite:///{tmp_path}/new.db"
            [receivers.ops]
            provider = "webhook"
            url = "{hook.url}"
            allow_private = true
            [[routes]]
            receivers = ["ops"]
            '''
        )
        command = ["--config", str(config), "receivers", "test", "ops"]
        result = await asyncio.to_thread(CliRunner().invoke, cli.main, command)
    assert (result.exit_code, len(hook.requests)) == (0, 1), result.output


async def test_a_receiver_that_refuses_a_sample_is_reported_with_its_answer(
    shell: Shell, database: Database
) -> None:
    async with Receiver(lambda _: Answer(status=403)) as hook:
        shell.set_hook(hook.url)
        result = await asyncio.to_thread(shell.run, "receivers", "test", "ops")
    assert result.exit_code == 1
    assert "403" in result.output
    assert rows_left(database) == 0
    with database.reading() as connection:
        assert [one.status for one in outbox.list_notifications(connection)] == ["dropped"]


async def test_where_chainwatch_runs_the_sample_goes_through_its_queue(
    shell: Shell, database: Database
) -> None:
    async def ignore(signals: list[Signal]) -> None:
        return

    async with Receiver() as hook, Transport() as transport:
        shell.set_hook(hook.url)
        provider = build_provider(shell.settings.receivers["ops"], transport)
        queue = ReceiverQueue(database, "ops", provider, ignore, give_up_after=60)
        running = asyncio.create_task(queue.run())
        with claimed(shell.environ["STORE"]):
            command = asyncio.create_task(asyncio.to_thread(shell.json, "receivers", "test", "ops"))
            while not command.done():
                queue.wake()
                await asyncio.sleep(0.02)
        outcome = await command
        queue.stop()
        await running
        assert len(hook.requests) == 1
    assert (outcome["delivered"], outcome["by"]) == (True, "the running process")
    assert rows_left(database) == 0
