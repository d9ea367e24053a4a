"""The commands: exit codes, what they write where, and that they start quickly."""

import json
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result

import chainwatch.__main__
from chainwatch.cli import main
from chainwatch.commands import setup
from chainwatch.commands.common import BAD_USAGE, FAILED
from chainwatch.init.presets import PRESETS
from chainwatch.operations import online
from chainwatch.store.alerting import outbox
from chainwatch.store.database import Database
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]

CONFIG = """
[store]
url = "sqlite:///chainwatch.db"
[networks.ethereum]
chain_id = 1
domain = 6648936
rpc = ["http://127.0.0.1:{port}/v3/5ecret-m4rk"]
[networks.optimism]
chain_id = 10
domain = 1869640809
rpc = ["http://127.0.0.1:{port}/v3/5ecret-m4rk"]
[contracts.connext]
abi = "{root}/abi/connext.json"
address = "0x8898B472C54c31894e3B9bb83cEA802a5d0e63C6"
[flows.connext]
contract = "connext"
key = "transferId"
network_by = "domain"
[flows.connext.opens]
step = "xcall"
event = "XCalled"
destination = "params.destinationDomain"
[[flows.connext.expects]]
step = "execute"
event = "Executed"
within = "30m"
[receivers.ops]
provider = "console"
[[routes]]
receivers = ["ops"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG.format(root=ROOT, port=free_port()))
    return file


@pytest.fixture
def database(config: Path) -> Path:
    """An empty database where the configuration has it."""
    file = config.parent / "chainwatch.db"
    Database.open(f"sqlite:///{file}", durable=False).close()
    return file


def call(*args: object, config: Path | None = None, **environ: str) -> Result:
    given = ["--config", str(config)] if config else []
    result = CliRunner().invoke(main, [*given, *map(str, args)], env=environ, prog_name="chainwatch")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# --- finding the configuration ------------------------------------------------------------------------


def test_a_good_configuration_is_fine(config: Path) -> None:
    result = call("check", config=config)
    assert (result.exit_code, result.stderr) == (0, "")
    counts = "2 networks, 1 contract, 1 flow, 0 invariants, 0 rules, 1 receiver, 1 route"
    assert f"the configuration is fine: {counts}" in result.stdout
    assert json.loads(call("check", "--json", config=config).stdout) == {
        "ok": True,
        "networks": 2,
        "contracts": 1,
        "flows": 1,
        "invariants": 0,
        "rules": 0,
        "receivers": 1,
        "routes": 1,
        "endpoints": [],
        "reached": [],
        "gaps": [],
        "warnings": [],
    }


def test_the_environment_names_the_configuration_and_the_option_wins(config: Path, tmp_path: Path) -> None:
    assert call("check", CHAINWATCH_CONFIG=str(config)).exit_code == 0
    missing = tmp_path / "missing.toml"
    result = call("check", config=missing, CHAINWATCH_CONFIG=str(config))
    assert result.exit_code == BAD_USAGE
    assert str(missing) in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["run"],
        ["check"],
        ["replay"],
        ["status"],
        ["transfers"],
        ["alerts"],
        ["queue", "list"],
        ["queue", "retry", "1"],
        ["queue", "drop", "1"],
        ["report", "latency"],
        ["rewind", "ethereum", "1"],
        ["flows", "test", "0x" + "00" * 32],
        ["flows", "find-siblings", "0x" + "00" * 32],
    ],
)
def test_a_missing_configuration_is_bad_usage_for_every_command(command: list[str], tmp_path: Path) -> None:
    result = call(*command, config=tmp_path / "missing.toml")
    assert result.exit_code == BAD_USAGE
    assert "there is no such file — `chainwatch init` writes one; --config names another" in result.stderr
    assert result.stdout == ""


def test_every_mistake_is_reported_at_once_with_its_line(config: Path) -> None:
    config.write_text(config.read_text().replace("XCalled", "XCaled").replace('"30m"', '"soon"'))
    result = call("check", config=config)
    assert result.exit_code == BAD_USAGE
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        "flows.connext.opens.event",
        "flows.connext.expects[0].within",
    ]
    assert f"{config}:21:" in result.stderr


# --- before the first run -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["transfers"],
        ["alerts"],
        ["queue", "list"],
        ["queue", "retry", "1"],
        ["queue", "drop", "1"],
        ["report", "latency"],
    ],
)
def test_looking_before_the_first_run_fails_and_makes_nothing(command: list[str], config: Path) -> None:
    result = call(*command, config=config)
    assert result.exit_code == FAILED
    assert "no database yet" in result.stderr
    assert "chainwatch run" in result.stderr
    assert [file.name for file in config.parent.iterdir()] == ["config.toml"]


# --- looking ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "command",
    [
        ["transfers"],
        ["transfers", "--since", "24h", "--until", "2023-04-05", "--status", "overdue", "--key", "0x0"],
        ["alerts", "--firing", "--severity", "critical", "--severity", "P1"],
        ["queue", "list", "--status", "dead", "--receiver", "ops"],
        ["report", "latency", "--since", "0", "--until", "253402300799"],
    ],
)
def test_nothing_found_is_fine(command: list[str], config: Path) -> None:
    result = call(*command, "--json", config=config)
    assert (result.exit_code, json.loads(result.stdout), result.stderr) == (0, [], "")
    assert call(*command, config=config).exit_code == 0


@pytest.mark.usefixtures("database")
def test_a_status_is_json_with_all_that_is_configured(config: Path) -> None:
    view = json.loads(call("status", "--json", config=config).stdout)
    assert set(view) >= {"networks", "transfers", "alerts", "queues"}
    assert [n["state"] for n in view["networks"]] == ["stopped", "stopped"]
    assert "ethereum" in call("status", config=config).stdout


def test_notifications_are_retried_and_dropped_by_id_or_receiver(config: Path, database: Path) -> None:
    with (
        closing(Database.open(f"sqlite:///{database}", durable=False)) as opened,
        opened.transaction() as connection,
    ):
        outbox.enqueue(connection, [("ops", "k", outbox.Payload({}, (), ()))] * 2, 0.0)
    listed = json.loads(call("queue", "list", "--json", config=config).stdout)
    ids = sorted(n["id"] for n in listed)
    assert call("queue", "retry", "--receiver", "ops", config=config).stdout == "2 to be retried\n"
    assert call("queue", "retry", ids[0], config=config).stdout == "1 to be retried\n"
    assert call("queue", "retry", 999, config=config).stdout == "0 to be retried\n"
    assert call("queue", "drop", *ids, config=config).stdout == "2 dropped\n"
    assert call("queue", "drop", *ids, config=config).stdout == "0 dropped\n"


# --- bad usage ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "command",
    [
        ["queue", "retry"],
        ["queue", "retry", "1", "--receiver", "ops"],
        ["queue", "retry", "99999999999999999999"],
        ["queue", "drop"],
        ["queue", "drop", "0"],
        ["queue", "list", "--status", "lost"],
        ["queue", "list", "--limit", "0"],
        ["transfers", "--limit", "99999999999999999999"],
        ["transfers", "--status", "late"],
        ["transfers", "--since", "99999999999999999999"],
        ["alerts", "--severity", "P9"],
        ["report", "latency", "--since", "yesterday"],
        ["replay", "--resume"],
        ["replay", "--fail-on", "P9"],
        ["rewind", "ethereum", "-1"],
        ["rewind", "ethereum", "99999999999999999999"],
        ["rewind", "etherum", "5"],
        ["demo", "--for", "soon"],
        ["completion", "powershell"],
        ["frobnicate"],
        ["--frobnicate"],
    ],
)
def test_bad_usage_ends_with_2_and_a_sentence(command: list[str], config: Path) -> None:
    result = call(*command, config=config)
    assert result.exit_code == BAD_USAGE
    assert "Error: " in result.stderr
    assert result.stdout == ""


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (
            ["rewind", "etherum", "5"],
            BAD_USAGE,
            "no network that is watched is called 'etherum'; did you mean",
        ),
        (["receivers", "test", "opz"], BAD_USAGE, "no receiver is called 'opz'; did you mean \"ops\"?"),
        (
            ["silences", "add", "a=b", "--during", "night"],
            BAD_USAGE,
            "no interval is called 'night'; none is",
        ),
        (["routes", "test", "foo"], BAD_USAGE, "'foo' is not LABEL=VALUE"),
        (["alerts", "show", "x"], BAD_USAGE, "'x' is not an ID"),
        (["alerts", "ack", "7"], FAILED, "no alert has the ID 7; `chainwatch alerts` lists them"),
        (["silences", "expire", "7"], FAILED, "`chainwatch silences list` lists them"),
        (["cooldowns", "remove", "7"], FAILED, "`chainwatch cooldowns list` lists them"),
        (["queue", "retry", "7"], FAILED, "`chainwatch queue list` lists them"),
        (["queue", "drop", "7"], FAILED, "`chainwatch queue list` lists them"),
        (["queue", "retry", "--receiver", "opz"], FAILED, "no receiver is called 'opz'"),
        (["queue", "list", "--receiver", "opz"], 0, "no receiver is called 'opz'"),
        (["transfers", "--flow", "conext"], 0, "no flow is called 'conext'"),
        (["transfers", "--origin", "etherum"], 0, "no network is called 'etherum'"),
        (["report", "latency", "--flow", "conext"], 0, "no flow is called 'conext'"),
        (["audit", "ethereum"], FAILED, "nothing of ethereum was read yet: `chainwatch run` reads it"),
        (["incident", "7"], BAD_USAGE, "`chainwatch incidents` lists them"),
        (["oncall", "override", "remove", "7"], BAD_USAGE, "`chainwatch oncall override` lists them"),
    ],
)
def test_what_is_not_there_is_named_with_where_to_find_what_is(
    command: list[str], code: int, said: str, config: Path
) -> None:
    result = call(*command, config=config)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr


@pytest.mark.usefixtures("database")
def test_a_network_that_is_nearly_right_is_suggested(config: Path) -> None:
    assert "ethereum" in call("rewind", "etherum", "5", config=config).stderr


# --- endpoints ----------------------------------------------------------------------------------------


def test_a_dead_endpoint_fails_the_online_check_without_its_url(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # S9
    monkeypatch.setattr("chainwatch.operations.online.PATIENCE", 0.1)
    result = call("check", "--online", "--json", config=config)
    assert result.exit_code == FAILED
    notified = json.loads(result.stdout)
    assert notified["ok"] is False
    assert ["cannot connect" in e["problem"] for e in notified["endpoints"]] == [True, True]
    assert "5ecret" not in result.stdout + result.stderr


def test_check_online_says_why_a_receiver_cannot_be_reached(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_endpoints(_: object) -> list[online.EndpointCheck]:
        return []

    monkeypatch.setattr(online, "check_endpoints", no_endpoints)
    hooks = {
        "private": (f"http://127.0.0.1:{free_port()}/5ecret", False),
        "closed": (f"http://127.0.0.1:{free_port()}/5ecret", True),
    }
    for name, (url, allowed) in hooks.items():
        text = f'[receivers.{name}]\nprovider = "webhook"\nurl = "{url}"\nallow_private = {str(allowed).lower()}\n'
        config.write_text(config.read_text().replace("[[routes]]", f"{text}[[routes]]"))
    config.write_text(config.read_text().replace('["ops"]', '["ops", "private", "closed"]'))
    result = call("check", "--online", "--json", config=config)
    assert result.exit_code == FAILED
    problems = {one["receiver"]: one["problem"] for one in json.loads(result.stdout)["reached"]}
    assert "set allow_private = true" in problems["private"]
    assert problems["closed"] == "the receiver cannot be reached: the connection was refused"
    assert "5ecret" not in result.output


# --- init, completion, help ---------------------------------------------------------------------------


def test_init_writes_a_configuration_once(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    file.parent.mkdir()
    assert call("init", "--preset", "connext", "--yes", config=file).exit_code == 0
    written = file.read_bytes()
    again = call("init", "--preset", "connext", "--yes", config=file)
    assert again.exit_code == BAD_USAGE
    assert "--force" in again.stderr
    assert file.read_bytes() == written
    assert call("init", "--preset", "connext", "--yes", "--force", config=file).exit_code == 0
    assert call("init", "--preset", "nonsense", "--yes", "--force", config=file).exit_code == BAD_USAGE


def test_init_says_what_a_preset_sees_and_cannot(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    done = call("init", "--preset", "hyperlane", "--yes", config=file)
    for paragraph in PRESETS["hyperlane"].explanation():
        assert paragraph in done.output
        assert paragraph.split()[-1] in file.read_text()


def test_init_names_every_preset(tmp_path: Path) -> None:
    shown = call("init", "--help", config=tmp_path / "none.toml").output
    words = re.sub(r"\s*\n\s*", " ", shown).replace("- ", "-")
    assert all(name in words for name in PRESETS)


def test_init_asks_again_after_an_answer_that_it_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        "conext",
        "connext",
        "ethereum, base",
        "ethereum optimism",
        "ftp://x",
        "A_URL",
        "B_URL",
        "",
        "",
    ]
    file = tmp_path / "config.toml"
    monkeypatch.setattr(setup, "can_ask", lambda: True)
    result = CliRunner().invoke(main, ["--config", str(file), "init"], input="\n".join([*answers, ""]))
    assert result.exit_code == 0, result.output
    assert result.output.count("Error: ") == 3
    assert "did you mean" in result.output
    assert "A_URL" in file.read_text()


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "FILE", "status", "--json"],
        ["status", "--config", "FILE", "--json"],
        ["--json", "status", "-c", "FILE"],
        ["--config", "no-such-file.toml", "status", "--config", "FILE", "--json"],
        ["alerts", "--config", "FILE", "list", "--json"],
        ["alerts", "list", "--config", "FILE", "--json"],
        ["alerts", "--json", "list", "--config", "FILE"],
        *([group, "--json", "list", "--config", "FILE"] for group in ("silences", "queue", "cooldowns")),
        ["oncall", "--json", "override", "list", "--config", "FILE"],
        ["--json", "oncall", "override", "list", "--config", "FILE"],
        ["oncall", "override", "--json", "list", "--config", "FILE"],
        ["report", "latency", "--json", "--config", "FILE"],
    ],
)
def test_options_are_taken_before_and_after_the_command(words: list[str], config: Path) -> None:
    Database.open(f"sqlite:///{config.parent / 'chainwatch.db'}").close()
    result = CliRunner().invoke(main, [str(config) if word == "FILE" else word for word in words])
    assert result.exit_code == 0, result.output
    json.loads(result.stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(shell: str) -> None:
    result = call("completion", shell)
    assert result.exit_code == 0
    assert "_CHAINWATCH_COMPLETE" in result.stdout


def test_every_command_and_option_explains_itself() -> None:
    def commands(command: click.Command, path: list[str]) -> list[tuple[list[str], click.Command]]:
        inside = command.commands.items() if isinstance(command, click.Group) else ()
        return [(path, command), *(found for name, sub in inside for found in commands(sub, [*path, name]))]

    for path, command in commands(main, []):
        assert command.help, path
        assert call(*path, "--help").exit_code == 0
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or parameter.help, (path, parameter.name)


def test_the_version_is_reported() -> None:
    assert call("--version").stdout.startswith("chainwatch, version ")


@pytest.mark.parametrize("command", [["--help"], ["completion", "bash"], ["run", "--help"]])
def test_what_needs_no_node_and_no_database_imports_neither(command: list[str]) -> None:
    code = (
        "import sys\n"
        "from chainwatch.cli import main\n"
        f"try: main({command!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "slow = {'web3', 'eth_abi', 'eth_utils', 'aiohttp', 'sqlalchemy', 'rich.table', 'apscheduler'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("command", "handler"), [("run", signal.SIG_IGN), ("status", signal.SIG_DFL)])
def test_a_reload_that_is_asked_for_too_early_ends_no_start(
    monkeypatch: pytest.MonkeyPatch, command: str, handler: signal.Handlers
) -> None:
    found = []
    start = SimpleNamespace(main=lambda **_: found.append(signal.getsignal(signal.SIGHUP)))
    monkeypatch.setitem(sys.modules, "chainwatch.cli", start)
    monkeypatch.setattr(sys, "argv", ["chainwatch", "--config", "x.toml", command])
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        chainwatch.__main__.main()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert found == [handler]


# --- flows on one transaction -------------------------------------------------------------------------


def test_trying_flows_needs_a_transaction(config: Path) -> None:
    for command in ("test", "find-siblings"):
        result = call("flows", command, config=config)
        assert result.exit_code == BAD_USAGE
        assert "Give its hash, or its receipt with --receipt FILE" in result.stderr


def test_trying_flows_on_a_file_that_is_no_receipt_is_bad_usage(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    file.write_text('{"result": null}')
    result = call("flows", "test", "--receipt", str(file), config=config)
    assert result.exit_code == BAD_USAGE
    assert "a node's answer for a transaction that it does not know" in result.stderr
