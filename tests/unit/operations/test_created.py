"""What is created beside the configuration: validated, stored, part of the configuration in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from chainwatch.config import read_dict
from chainwatch.operations import channels, configured, rules
from chainwatch.operations.context import Access, Context, Contexts
from chainwatch.operations.created import extend
from chainwatch.operations.errors import Conflict, Invalid, NotFound
from chainwatch.operations.routing import trace_routes
from chainwatch.plan import make_plan
from chainwatch.store.alerting import outbox
from chainwatch.store.alerting.outbox import Payload
from chainwatch.store.created import Created, StoredChannel
from tests.unit.operations.conftest import T0, config

RULE = {"name": "HighErrors", "query": "rate(errors[5m]) > 0.1", "duration": "5m", "severity": "critical"}
HOOK = {"url": "https://user:pass-w0rd@example.org/hook/S3CRETS3CRET", "headers": {"X-Key": "S3CRETKEY"}}


class Operating:
    """Runs operations, each with what the ones before have created."""

    def __init__(self, access: Access) -> None:
        self._access = access
        url = access.context.settings.store.url.get_secret_value()
        self._contexts = Contexts(make_plan(read_dict(config(url), watches=False)))

    @property
    def context(self) -> Context:
        with self._access.database.reading() as connection:
            return self._contexts.on(connection)

    def __call__(self, operation: Callable[..., Any], *args: Any, **given: Any) -> Any:
        return Access(self._access.database, self.context, self._access.clock).write(
            operation, *args, **given
        )


@pytest.fixture
def run(access: Access) -> Operating:
    return Operating(access)


# --- channels -----------------------------------------------------------------------------------------


def test_a_channel_is_a_receiver_and_its_secrets_stay_inside(run: Operating) -> None:
    made = run(channels.add_channel, "webhook", {**HOOK, "method": "PUT"}, "anna")
    assert made.id.startswith("webhook-")
    assert made.config == {"url": channels.HIDDEN, "headers": channels.HIDDEN, "method": "PUT"}
    assert run(channels.list_channels).channels == [made] == [run(channels.show_channel, made.id)]
    context = run.context
    assert context.receivers == ("ops", "phone", made.id)
    assert [one.origin for one in run(configured.list_receivers)] == ["file", "file", "api"]
    shown = repr((made, context, context.created))
    assert "S3CRET" not in shown
    assert "pass-w0rd" not in shown
    receiver: Any = context.settings.receivers[made.id]
    assert receiver.url.get_secret_value() == HOOK["url"]


WRONG_CHANNELS: list[tuple[str, dict[str, Any], str]] = [
    ("exec", {"command": ["rm"]}, "runs a program"),
    ("file", {"path": "x"}, "writes to files"),
    ("slak", {}, 'did you mean "slack"'),
    ("webhook", {}, "config.url: missing"),
    ("webhook", {"urll": "https://s3cret.example"}, "config.urll: unknown key"),
    ("webhook", {"url": "s3cret"}, "expected a URL"),
    ("webhook", {"url": 5}, "config.url: expected text"),
    ("webhook", {"url": "https://e.org", "ca": "/etc/passwd"}, "config.ca: nobody may name a file"),
    ("webhook", {"url": "https://e.org", "template": "t"}, "no template is called 't'"),
    ("webhook", {"url": "https://e.org", "name": "ops"}, "config.name: unknown key"),
    ("webhook", {"url": "https://e.org", "provider": "exec"}, "config.provider: unknown key"),
    ("webhook", {"url": "https://e.org", "body": "x" * channels.CONFIG_MAX}, "longer than"),
    ("webhook", {"url": "https://e.org", "headers": {"X": "a\nb"}}, "one line"),
    ("", {}, "is none of"),
]


def test_an_invalid_channel_is_refused_with_its_key_and_without_its_value(run: Operating) -> None:
    context = run.context
    for type, given, said in WRONG_CHANNELS:
        with pytest.raises(Invalid, match=said.replace(".", r"\.")) as refused:
            run(channels.add_channel, type, given, "anna")
        assert "s3cret" not in str(refused.value)
    assert run.context.receivers == context.receivers


def test_no_text_of_a_channel_is_an_environment_variable(
    run: Operating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "another secret")
    made = run(channels.add_channel, "webhook", {"url": "https://e.org/${DATABASE_URL}"}, "anna")
    receiver: Any = run.context.settings.receivers[made.id]
    assert receiver.url.get_secret_value() == "https://e.org/${DATABASE_URL}"


def test_a_channel_that_rules_name_stays_and_one_that_is_deleted_leaves_nothing_waiting(
    run: Operating,
) -> None:
    made = run(channels.add_channel, "webhook", HOOK, "anna")
    run(rules.add_rule, **RULE, channels=[made.id], author="anna")
    with pytest.raises(Conflict, match="HighErrors"):
        run(channels.delete_channel, made.id)
    run(rules.update_rule, "HighErrors", channels=[])
    payload = Payload({"alertname": "HighErrors"}, (1,), ())
    run(lambda connection, _, now: outbox.enqueue(connection, [(made.id, "group", payload)], now))
    assert run(channels.show_channel, made.id).waiting == 1
    assert run(channels.delete_channel, made.id).dropped == 1
    assert run.context.receivers == ("ops", "phone")
    with pytest.raises(NotFound, match="no channel is called"):
        run(channels.delete_channel, made.id)
    with pytest.raises(NotFound, match="configuration file"):
        run(channels.delete_channel, "ops")


def test_there_is_an_end_to_the_number_of_channels(run: Operating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "CHANNELS_MAX", 1)
    run(channels.add_channel, "console", {}, "anna")
    with pytest.raises(Conflict, match="delete one first"):
        run(channels.add_channel, "console", {}, "anna")


def test_the_receiver_of_the_file_is_used_where_names_collide() -> None:
    settings = read_dict(config("sqlite:///x.db"), watches=False).settings()
    config_of = SecretStr('{"url": "https://e.org"}')
    both = Created(
        (
            StoredChannel("ops", "webhook", config_of, "anna", T0),
            StoredChannel("old-1", "webhook", SecretStr('{"gone": 1}'), "anna", T0),
            StoredChannel("odd-1", "carrier-pigeon", SecretStr("{}"), "anna", T0),
        )
    )
    extended = extend(settings, both)
    assert {name: one.provider for name, one in extended.settings.receivers.items()} == {
        "ops": "console",
        "phone": "console",
    }
    assert extended.problems["ops"].startswith("the configuration file has a receiver of this name")
    assert set(extended.problems) == {"ops", "old-1", "odd-1"}


# --- rules --------------------------------------------------------------------------------------------


def test_a_rule_comes_back_as_it_was_given_and_says_that_it_is_evaluated(run: Operating) -> None:
    more = {
        "annotations": {"summary": "{{ $value }}"},
        "type": "errors",
        "cooldown": "1h",
        "channels": ["ops"],
    }
    made = run(rules.add_rule, **RULE, **more, author="anna")
    for key, value in {**RULE, **more}.items():
        assert getattr(made, key) == (tuple(value) if isinstance(value, list) else value)
    assert (made.evaluated, made.origin, made.author, made.problem) == (True, "api", "anna", None)
    assert run(rules.list_rules).rules == [run(rules.show_rule, "HighErrors")]
    with pytest.raises(Conflict, match="PUT /rules/HighErrors"):
        run(rules.add_rule, **RULE, author="anna")
    changed = run(rules.update_rule, "HighErrors", severity="P2", duration=90, cooldown=None)
    assert (changed.severity, changed.duration, changed.cooldown, changed.type) == (
        "P2",
        "1m30s",
        None,
        "errors",
    )
    assert run(rules.delete_rule, "HighErrors").name == "HighErrors"
    for operation in (rules.show_rule, rules.update_rule, rules.delete_rule):
        with pytest.raises(NotFound, match="no rule is called"):
            run(operation, "HighErrors")


WRONG_RULES: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "a/b"}, "name"),
    ({"name": "x" * 129}, "name"),
    ({"name": "TransferOverdue"}, "itself raises"),
    ({"query": ""}, "no expression found"),
    ({"query": "rate(x)"}, "1:6: parse error: expected type range vector"),
    ({"query": "up =="}, "query"),
    ({"query": "x[5m]"}, "returns a range vector"),
    ({"query": "(x[1h:1m])"}, "returns a range vector"),
    ({"query": "'a'"}, "returns a string"),
    ({"query": "x" * 5_000}, "longer than"),
    ({"query": "(" * 2_000 + "1" + ")" * 2_000}, "more than"),
    ({"query": " or ".join("x" * 800)}, "more than"),
    ({"duration": "5 minutes"}, "duration"),
    ({"duration": -1}, "duration"),
    ({"duration": float("nan")}, "duration"),
    ({"severity": "page"}, "severity"),
    ({"cooldown": "0s"}, "above zero"),
    ({"type": "a\nb"}, "type"),
    ({"channels": ["nobody"]}, "no receiver is called 'nobody'"),
    ({"channels": ["ops"] * 21}, "channels: more than"),
    ({"annotations": {"a-b": "x"}}, "annotations"),
    ({"annotations": {"a": "x" * 4_001}}, "annotations: a: longer"),
    ({"annotations": {f"a{i}": "" for i in range(33)}}, "annotations: more"),
]


def test_an_invalid_rule_is_refused(run: Operating) -> None:
    for wrong, said in WRONG_RULES:
        with pytest.raises(Invalid, match=said):
            run(rules.add_rule, **{**RULE, **wrong}, author="anna")
    assert run(rules.list_rules).rules == []


def test_the_channels_and_the_cooldown_of_a_rule_count_for_alerts_with_its_name(run: Operating) -> None:
    run(rules.add_rule, **RULE, channels=["phone"], cooldown="2h", author="anna")
    settings = run.context.settings
    found = trace_routes(settings, {"alertname": "HighErrors", "severity": "P2"})
    assert found.receivers == ["phone", "ops"]  # beside those of the file
    assert trace_routes(settings, {"alertname": "Other", "severity": "P2"}).receivers == ["ops"]
    assert [(c.match, c.within) for c in settings.cooldowns][:1] == [({"alertname": ["HighErrors"]}, 7200.0)]


def test_a_rule_whose_receiver_is_gone_says_so(run: Operating) -> None:
    run(rules.add_rule, **RULE, channels=["phone"], author="anna")
    created = run.context.created
    fewer = config("sqlite:///x.db")
    fewer = {
        "store": fewer["store"],
        "receivers": {"ops": {"provider": "console"}},
        "routes": [{"receivers": ["ops"]}],
    }
    extended = extend(read_dict(fewer, watches=False).settings(), created)
    assert "phone" in extended.problems["HighErrors"]
    assert trace_routes(extended.settings, {"alertname": "HighErrors"}).receivers == ["ops"]
