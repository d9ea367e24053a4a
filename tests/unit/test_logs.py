"""One line an event, for machines or people, and no secret in any of them (S9)."""

import json
import logging
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
import structlog
import yarl

from chainwatch import logs
from chainwatch.config import ConfigError, LogSettings, Settings, from_dict, read_dict
from chainwatch.plan import make_plan

SECRET = "5ecret-m4rk"


class Written:
    """What stands on standard error so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Written:
    return Written(capsys)


def configure(format: str = "json", level: str = "info", secrets: Any = ()) -> None:
    logs.configure(LogSettings.model_validate({"format": format, "level": level}), secrets)


def objects(stream: Written) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_event_is_one_json_object_on_one_line(written: Written) -> None:
    configure()
    structlog.get_logger("chainwatch.x").info("two\nlines", network="ethereum", big=2**256, odd=b"\xff")
    logging.getLogger("some.library").warning("%s is %d", "x", 3)
    first, second = objects(written)
    assert first["event"] == "two\nlines"
    assert (first["network"], first["level"]) == ("ethereum", "info")
    assert first["big"] == 2**256
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["level"]) == ("x is 3", "warning")


@pytest.mark.parametrize("format", ["json", "human"])
def test_an_exception_is_reported_with_its_traceback_whoever_logs_it(format: str, written: Written) -> None:
    configure(format)
    try:
        raise KeyError("missing thing")
    except KeyError as error:
        structlog.get_logger().error("ours", exc_info=error)
        logging.getLogger("asyncio").exception("theirs")
    assert written.getvalue().count("Traceback (most recent call last)") == 2
    assert written.getvalue().count("KeyError: 'missing thing'") == 2
    if format == "json":
        assert [line["event"] for line in objects(written)] == ["ours", "theirs"]


def test_tracebacks_do_not_show_the_values_of_variables(written: Written) -> None:  # S9
    for format in ("json", "human"):
        configure(format)
        try:
            token = SECRET[::-1]
            raise ValueError(len(token))
        except ValueError:
            structlog.get_logger().exception("it failed")
    assert "ValueError: 11" in written.getvalue()
    assert SECRET[::-1] not in written.getvalue()


def test_a_format_for_people_has_no_colours_where_no_terminal_is(written: Written) -> None:
    configure("human")
    structlog.get_logger().warning("network blind", network="ethereum")
    assert "network=ethereum" in written.getvalue()
    assert "\x1b" not in written.getvalue()


def test_without_a_terminal_the_format_is_json_by_itself(written: Written) -> None:
    configure("auto")
    structlog.get_logger().info("here")
    assert objects(written)[0]["event"] == "here"


def test_the_level_holds_for_all_and_libraries_are_quieter(written: Written) -> None:
    configure(level="debug")
    for name in (
        "apscheduler.scheduler",
        "asyncio",
        "urllib3.connectionpool",
        "aiohttp.client",
        "web3.manager",
    ):
        logging.getLogger(name).info("chatter")
    logging.getLogger("urllib3.connectionpool").warning("Retrying after connection broken: /api/webhooks/1/x")
    structlog.get_logger().debug("ours")
    assert [line["event"] for line in objects(written)] == ["ours"]
    configure(level="error")
    structlog.get_logger().warning("unimportant now")
    assert len(objects(written)) == 1


def test_configuring_again_writes_no_line_twice(written: Written) -> None:
    configure()
    configure()
    structlog.get_logger().info("once")
    assert len(objects(written)) == 1


# --- secrets ------------------------------------------------------------------------------------------


def settings(**changes: Any) -> Settings:
    return from_dict(config(**changes))


def config(**changes: Any) -> dict[str, Any]:
    return {
        "store": {"url": f"postgresql://watch:{SECRET}-db@db.example/chainwatch"},
        "networks": {
            "ethereum": {
                "chain_id": 1,
                "rpc": [
                    f"https://node.example/v3/ethereum/{SECRET}-rpc",
                    f"wss://node.example/?key={SECRET}-ws",
                ],
            }
        },
        "receivers": {
            "chat": {"provider": "discord", "url": f"https://discord.com/api/webhooks/12/{SECRET}-chat"},
            "hook": {
                "provider": "webhook",
                "url": "https://hook.example/in",
                "secret": f"{SECRET}-hmac",
                "headers": {"Authorization": f"Bearer {SECRET}-head"},
            },
        },
        "routes": [{"receivers": ["chat", "hook"]}],
        **changes,
    }


def test_no_secret_is_shown_by_settings_or_plan() -> None:  # S9
    plan = make_plan(read_dict(config()))
    for shown in (repr(plan), str(plan.settings), repr(plan.settings), plan.settings.model_dump_json()):
        assert SECRET not in shown
        assert "ethereum" in shown


@pytest.mark.parametrize("format", ["json", "human"])
def test_configured_secrets_are_struck_out_of_whatever_is_logged(format: str, written: Written) -> None:  # S9
    configured = settings()
    configure(format, secrets=logs.secrets_in(configured))
    url = configured.networks["ethereum"].rpc[0].get_secret_value()
    errors: list[Exception] = [
        aiohttp.ClientResponseError(_request(url), (), status=404, message="Not Found"),
        aiohttp.InvalidURL(url),
        sa.exc.OperationalError(
            f"connect {configured.store.url.get_secret_value()}", (), Exception("refused")
        ),
        ValueError(configured.receivers["chat"].url.get_secret_value()),  # type: ignore[attr-defined]
    ]
    for error in errors:
        structlog.get_logger().error("it failed", reason=str(error), exc_info=error)
        try:
            raise RuntimeError("around") from error
        except RuntimeError:
            logging.getLogger("asyncio").exception("Task exception was never retrieved")
    logging.getLogger("x").warning("%s-db and %s-hmac, Bearer %s-head", SECRET, SECRET, SECRET)
    structlog.get_logger().info("on ethereum, chainwatch and webhooks", key=f"{SECRET}-ws")
    said = written.getvalue()
    assert SECRET not in said
    assert said.count("RuntimeError: around") == len(errors)
    assert "on ethereum, chainwatch and webhooks" in said
    if format == "json":
        assert len(objects(written)) == 2 * len(errors) + 2


def test_a_secret_with_quotes_is_struck_out_of_json(written: Written) -> None:  # S9
    configure(secrets=['pa"ss\\wörd'])
    structlog.get_logger().info('it is pa"ss\\wörd')
    assert objects(written)[0]["event"] == "it is ***"


def test_an_escaped_password_is_struck_out_in_both_forms(written: Written) -> None:  # S9
    hidden = settings(store={"url": "postgresql://watch:p%40ss-5ecret@db.example/x"})
    configure(secrets=logs.secrets_in(hidden))
    structlog.get_logger().info("p%40ss-5ecret or p@ss-5ecret")
    assert objects(written)[0]["event"] == "*** or ***"


@pytest.mark.parametrize(
    "secret", ["", " ", "\t\n", "a", "e:", "on", "%20", "%00%00", "v3", "/", "{", '"', "\udcff"]
)
def test_a_secret_too_short_to_be_one_leaves_the_lines_as_they_are(secret: str, written: Written) -> None:
    configure(secrets=[secret, f"https://node.example/{secret}/x?{secret}={secret}"])
    structlog.get_logger().info("on ethereum: one line", path="/v3/x")
    (line,) = objects(written)
    assert (line["event"], line["path"], line["level"]) == ("on ethereum: one line", "/v3/x", "info")


@pytest.mark.parametrize("secret", ["info", "Event", "level", "timestamp", "true"])
def test_a_secret_that_is_a_word_of_every_line_destroys_none(secret: str, written: Written) -> None:
    configure(secrets=[secret])
    structlog.get_logger().info("an event", good=True)
    (line,) = objects(written)
    assert (line["event"], line["level"], line["good"]) == ("an event", "info", True)


def test_a_short_secret_is_struck_out_where_it_stands_alone(written: Written) -> None:  # S9
    configure(secrets=["prod7"])
    structlog.get_logger().info("key=prod7, 'prod7' and prod7, but reprod75")
    assert objects(written)[0]["event"] == "key=***, '***' and ***, but reprod75"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("p@ss/wörd+ 5ecret", "p%40ss%2Fw%C3%B6rd%2B%205ecret"),
        ("p@ss/wörd+ 5ecret", "p%40ss/w%C3%B6rd%2B%205ecret"),
        ("p@ss/wörd+ 5ecret", "p%40ss%2Fw%C3%B6rd%2B+5ecret"),
        ("p@ss/wörd+ 5ecret", "p@ss/wörd+ 5ecret"),
        ("Bearer 0123456789abc", "token 0123456789abc"),
        ("https://0123456789abc@node.example/", "0123456789abc"),
        ("https://node.example/?0123456789abc", "0123456789abc"),
        ("https://node.example/v3/ab%2B0123456789", "ab+0123456789"),
    ],
)
def test_a_secret_is_struck_out_in_every_spelling(secret: str, said: str, written: Written) -> None:  # S9
    header = settings(
        receivers={
            "hook": {"provider": "webhook", "url": "https://hook.example/", "headers": {"X-Key": secret}}
        },
        routes=[{"receivers": ["hook"]}],
    )
    configure(secrets=logs.secrets_in(header))
    structlog.get_logger().info(f"<{said}>")
    assert said.removeprefix("token ") not in objects(written)[0]["event"]


def test_a_broken_configuration_is_reported_without_its_secrets() -> None:  # S9
    with pytest.raises(ConfigError) as caught:
        settings(store={"url": f"mysql://watch:{SECRET}@db"}, log={"level": SECRET, "url": SECRET})
    notified = str(caught.value)
    assert "store.url" in notified
    assert f"watch:{SECRET}" not in notified


def test_paths_of_sqlite_files_are_no_secrets() -> None:
    plain = settings(store={"url": "sqlite:///data/chainwatch-2024.db"})
    assert not any("chainwatch-2024" in secret for secret in logs.secrets_in(plain))


def _request(url: str) -> aiohttp.RequestInfo:
    return aiohttp.RequestInfo(yarl.URL(url), "POST", None, yarl.URL(url))  # type: ignore[arg-type]


def test_secrets_that_come_later_are_removed_beside_those_of_the_start(written: Written) -> None:
    configure(secrets=["the-first-secret"])
    logs.hide([SECRET])
    assert logs.hidden() == {"the-first-secret", SECRET}
    logging.getLogger("some.library").warning("calling https://x.example/%s/the-first-secret", SECRET)
    (line,) = objects(written)
    assert line["event"] == "calling https://x.example/***/***"
    configure()
    assert logs.hidden() == frozenset()
