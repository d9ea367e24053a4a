"""The commands about alerts, on a database that a manager has filled."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.policies import Policies
from chainwatch.cli import main
from chainwatch.config import load
from chainwatch.model import Signal
from chainwatch.store.database import Database

CONFIG = """
[store]
url = "sqlite:///chainwatch.db"

[networks.n]
chain_id = 1
rpc = ["http://127.0.0.1:1"]

[receivers.ops]
provider = "console"

[receivers.pager]
provider = "console"
rate_limit = { P2 = 1 }

[[routes]]
match = { severity = ["P0", "P1"] }
receivers = ["ops"]
group_wait = "0s"

[[routes.routes]]
match = { alertname = "=~Transfer.*" }
group_by = ["..."]

[[routes]]
match = { severity = "P2" }
receivers = ["pager"]
group_wait = "0s"

[intervals.night]
times = ["22:00-07:00"]

[[cooldowns]]
match = { alertname = "Noise" }
within = "1h"
"""


class World:
    """A configuration with its database, and the commands on them."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG)
        self.settings = load(self.config, {})
        self.database = Database.open(self.settings.store.url.get_secret_value())
        self.manager = AlertEngine(
            self.settings.routes, {"ops": True, "pager": True}, 0, Policies.of(self.settings)
        )

    def raise_alert(self, name: str = "TransferOverdue", severity: str = "P1", **labels: str) -> None:
        now = time.time()
        signal = Signal(
            {"alertname": name, "severity": severity, **labels}, int(now) - 5, {"summary": f"{name}!"}
        )
        with self.database.transaction() as connection:
            self.manager.apply(connection, [signal], now)

    def flush(self, later: float = 0.0) -> None:
        with self.database.transaction() as connection:
            self.manager.flush(connection, time.time() + later)

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), *words])

    def read(self, *words: str) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def queued(self, receiver: str) -> int:
        return sum(n["receiver"] == receiver for n in self.read("queue", "list"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_alerts_are_listed_with_and_without_the_word(world: World) -> None:
    world.raise_alert()
    assert world.read("alerts") == world.read("alerts", "list", "--firing")
    assert "TransferOverdue" in world.run("alerts").output


def test_an_acknowledged_alert_says_whose_it_is_and_can_be_given_back(world: World) -> None:
    world.raise_alert()
    assert world.run("alerts", "ack", "1", "--by", "ann", "--note", "mine", "--for", "1h").exit_code == 0
    taken = world.read("alerts", "show", "1")["acknowledged"]
    assert (taken["by"], taken["note"]) == ("ann", "mine")
    world.flush(later=5 * 3600 - 3600)
    assert world.run("alerts", "unack", "1", "--by", "bob").exit_code in (0, 1)
    kinds = [(one["kind"], one["actor"]) for one in world.read("alerts", "history", "1")]
    assert ("acknowledged", "ann") in kinds
    assert any(kind == "unacknowledged" for kind, _ in kinds)


def test_what_a_person_resolves_ends_with_their_name_and_is_reported(world: World) -> None:
    world.raise_alert()
    assert world.run("alerts", "resolve", "1", "--by", "ann", "--note", "refunded").exit_code == 0
    world.flush(later=20)
    (alert,) = world.read("alerts")
    assert (alert["state"], alert["reason"]) == ("resolved", "by hand: refunded")
    assert world.queued("ops") == 2
    assert world.read("alerts", "history", "1")[-1]["actor"] == "ann"


def test_what_is_not_firing_cannot_be_taken_on(world: World) -> None:
    world.raise_alert()
    world.run("alerts", "resolve", "1")
    result = world.run("alerts", "ack", "1", "7")
    assert (result.exit_code, result.stdout) == (1, "0 acknowledged\n")
    assert "not firing: 1; no alert has the ID 7" in result.stderr


def test_a_silence_is_previewed_added_listed_and_expired(world: World) -> None:
    world.raise_alert()
    assert [a["id"] for a in world.read("silences", "preview", "alertname=~Transfer.*")] == [1]
    assert world.read("silences", "preview", "alertname!~Transfer.*") == []
    added = world.run("silences", "add", "severity=P2", "--for", "1h", "--by", "ann", "--comment", "upgrade")
    assert added.output == "silence 1 mutes 0 alerts\n"
    world.raise_alert("NetworkLagging", "P2")
    assert world.queued("pager") == 0
    (listed,) = world.read("silences", "list")
    assert (listed["state"], listed["hides"], listed["author"]) == ("active", 1, "ann")
    assert world.run("silences", "expire", "1").output == "1 expired\n"
    world.flush(later=20)
    assert world.queued("pager") == 1
    assert world.read("silences", "list") == []
    assert world.read("silences", "list", "--ended")[0]["state"] == "ended"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["severity"], "LABEL=VALUE"),
        (["severity=~("], "'severity=~(': not a regular expression"),
        (["severity=P1", "--for", "0s"], "end after its start"),
        (["severity=P1", "--during", "nights"], "no interval"),
        (["severity=P1", "--until", "2020-01-01"], "in the future"),
        (["severity=P1", "--until", "2099-01-01", "--for", "1h"], "not both"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(world: World, words: list[str], said: str) -> None:
    result = world.run("silences", "add", *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_explain_says_of_every_receiver_why_it_was_reported_or_not(world: World) -> None:
    world.raise_alert()
    notified = {one["receiver"]: one for one in world.read("alerts", "explain", "1")["receivers"]}
    assert notified["ops"]["notifications"][0]["says"] == "firing"
    assert notified["ops"]["why"] == "it is in the queue"
    assert "does not name this receiver" in notified["pager"]["why"]
    assert "ops" in world.run("alerts", "explain", "1").output


def test_explain_names_the_silence_that_holds_an_alert_back(world: World) -> None:
    world.run("silences", "add", "severity=P2", "--by", "ann", "--comment", "upgrade")
    world.raise_alert("NetworkLagging", "P2")
    view = world.read("alerts", "explain", "1")
    notified = {one["receiver"]: one["why"] for one in view["receivers"]}
    assert notified["pager"].startswith("silenced: by silence 1 of ann: upgrade, for ")
    assert [one["kind"] for one in view["history"]] == ["firing", "held"]


def test_explain_reports_a_hold_that_is_over_what_it_was_and_how_long_it_lasted(world: World) -> None:
    world.run("silences", "add", "severity=P2", "--by", "ann", "--comment", "upgrade")
    world.raise_alert("NetworkLagging", "P2")
    world.run("silences", "expire", "1")
    world.flush(later=600)
    (pager,) = [r for r in world.read("alerts", "explain", "1")["receivers"] if r["receiver"] == "pager"]
    assert pager["why"].startswith(
        "it is in the queue; before that it was held back: silenced: by silence 1 of ann"
    )
    assert pager["why"].endswith("for 10m")
    (hold,) = pager["held"]
    assert hold["why"] == "silenced"
    assert hold["until"] - hold["since"] == pytest.approx(600, abs=5)


def test_explain_reports_why_what_was_over_too_soon_was_reported_to_nobody(world: World) -> None:
    world.run("silences", "add", "severity=P2", "--by", "ann", "--comment", "upgrade")
    world.raise_alert("NetworkLagging", "P2")
    world.run("alerts", "resolve", "1")
    world.flush(later=300)
    (pager,) = [r for r in world.read("alerts", "explain", "1")["receivers"] if r["receiver"] == "pager"]
    assert pager["notified"] is False
    assert pager["why"].startswith(
        "it was resolved before it could be sent: silenced: by silence 1 of ann: upgrade"
    )


def test_explain_names_the_rate_limit_that_holds_an_alert_back_and_then_the_summary(world: World) -> None:
    world.raise_alert("NetworkLagging", "P2", network="n")
    world.raise_alert("EndpointDegraded", "P2", network="n")
    notified = {one["receiver"]: one["why"] for one in world.read("alerts", "explain", "2")["receivers"]}
    assert notified["pager"].startswith("rate limit: it is summarized in ")
    world.flush(later=61)
    assert "over the rate limit" in world.run("alerts", "explain", "2").output


def test_explain_and_show_of_what_is_not_there_fail(world: World) -> None:
    for word in ("show", "explain", "history"):
        result = world.run("alerts", word, "5")
        assert result.exit_code == 1
        assert "no alert has the ID 5" in result.stderr


def test_a_cooldown_set_while_running_comes_before_the_configured_ones(world: World) -> None:
    assert world.run("cooldowns", "set", "alertname=TransferOverdue", "--within", "1h").exit_code == 0
    assert [c["id"] for c in world.read("cooldowns", "list")] == [1, None]
    for _ in range(2):
        world.raise_alert()
        world.run("alerts", "resolve", str(world.read("alerts")[0]["id"]))
        world.flush(later=20)
    assert world.queued("ops") == 2, "firing and resolved of the first only"
    assert world.run("cooldowns", "remove", "1").output == "1 removed\n"


def test_a_cooldown_set_amid_the_noise_counts_from_what_was_reported(world: World) -> None:
    def comes_and_goes(later: float) -> None:
        world.raise_alert()
        world.run("alerts", "resolve", str(world.read("alerts")[0]["id"]))
        world.flush(later=later)

    comes_and_goes(20)
    assert world.run("cooldowns", "set", "alertname=TransferOverdue", "--within", "1h").exit_code == 0
    comes_and_goes(40)
    assert world.queued("ops") == 2, "firing and resolved of the first only"


def test_the_tree_is_drawn_with_the_way_taken(world: World) -> None:
    drawn = world.run("routes", "test", "alertname=TransferOverdue", "severity=high").output
    assert '→   {alertname=~"Transfer.*"} → ops' in drawn
    assert drawn.endswith("goes to: ops\n")
    view = world.read("routes", "test", "severity=P3")
    assert view["receivers"] == []
    assert not any(route["takes"] for route in view["routes"])


def test_routes_are_drawn_before_there_is_a_database(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    words = ["--config", str(tmp_path / "config.toml"), "routes", "test", "severity=P2"]
    assert "goes to: pager" in CliRunner().invoke(main, words).output
    assert not (tmp_path / "chainwatch.db").exists()


def test_the_commands_serve_a_configuration_without_networks(world: World) -> None:
    world.raise_alert()
    text = world.config.read_text()
    world.config.write_text(text[: text.index("[networks.n]")] + text[text.index("[receivers.ops]") :])
    assert [alert["id"] for alert in world.read("alerts")] == [1]


def test_a_long_list_says_on_standard_error_how_it_goes_on(world: World) -> None:
    for name in ("A", "B", "C"):
        world.raise_alert(name)
    first = world.run("alerts", "--limit", "2", "--json")
    assert [alert["labels"]["alertname"] for alert in json.loads(first.stdout)] == ["C", "B"]
    cursor = first.stderr.strip().removeprefix("there are more rows: add --after ")
    last = world.run("alerts", "list", "--limit", "2", "--after", cursor, "--json")
    assert [alert["labels"]["alertname"] for alert in json.loads(last.stdout)] == ["A"]
    assert last.stderr == ""


@pytest.mark.parametrize(
    "words", [["alerts"], ["transfers"], ["incidents"], ["queue", "list"], ["silences", "list"]]
)
def test_a_cursor_of_no_list_is_bad_usage(world: World, words: list[str]) -> None:
    result = world.run(*words, "--after", "\x1b[2Jnonsense")
    assert (result.exit_code, "is not a cursor of" in result.stderr, "\x1b" in result.stderr) == (
        2,
        True,
        False,
    )


def test_the_history_of_an_alert_comes_in_pages_too(world: World) -> None:
    world.raise_alert()
    world.run("alerts", "ack", "1")
    first = world.run("alerts", "history", "1", "--limit", "1")
    assert first.stderr == "there are more rows: add --after history.1\n"
    assert "acknowledged" in world.run("alerts", "history", "1", "--after", "history.1").stdout


def test_of_several_ids_those_left_out_are_named_with_the_reason(world: World) -> None:
    for _ in range(2):
        world.run("silences", "add", "a=b")
    world.run("silences", "expire", "1")
    result = world.run("silences", "expire", "1", "2", "7")
    assert (result.exit_code, result.stdout) == (0, "1 expired\n")
    assert (
        result.stderr == "ended before: 1; no silence has the ID 7; `chainwatch silences list` lists them\n"
    )
