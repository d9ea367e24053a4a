"""An operator's program: what it gets, and every way in which it can end."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from chainwatch.alerting.providers import DeliveryError, Transport, build_provider
from chainwatch.alerting.providers.exec import ExecProvider, ExecSettings
from tests.support.waiting import PATIENCE, eventually
from tests.unit.alerting.helpers import notification, notified


def _provider(*command: str, **settings: Any) -> ExecProvider:
    table = {"name": "script", "provider": "exec", "command": list(command), **settings}
    built = build_provider(ExecSettings.model_validate(table), Transport())
    assert isinstance(built, ExecProvider)
    return built


def _python(code: str, **settings: Any) -> ExecProvider:
    return _provider(sys.executable, "-c", code, **settings)


async def _deliver(provider: ExecProvider, alerts: int = 1) -> None:
    await provider.send(provider.render(notification(*[notified()] * alerts, idempotency_key="k" * 32), None))


async def _refusal(provider: ExecProvider, alerts: int = 1) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await _deliver(provider, alerts)
    return caught.value


def _is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


async def _until_gone(pid: int) -> None:
    await eventually(lambda: not _is_running(pid))


async def test_the_program_gets_alertmanagers_message_and_a_small_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_RECEIVERS_TOKEN", "s3cret")
    code = "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ), sys.argv], open(sys.argv[1], 'w'))"
    out = tmp_path / "got"
    env = {"API_KEY": "of-this-one"}
    await _deliver(_provider(sys.executable, "-c", code, str(out), "$(id) `id`; id", env=env))
    body, environ, arguments = json.loads(out.read_text())
    assert (body["version"], body["alerts"][0]["labels"]["transfer"]) == ("4", "0x01")
    assert arguments[2] == "$(id) `id`; id"
    assert environ["API_KEY"] == "of-this-one"
    assert (environ["CHAINWATCH_RECEIVER"], environ["CHAINWATCH_IDEMPOTENCY_KEY"]) == ("script", "k" * 32)
    assert "OTHER_RECEIVERS_TOKEN" not in environ
    assert environ["PATH"] == os.environ["PATH"]


async def test_a_disk_that_takes_no_file_keeps_no_notification_from_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    out = tmp_path / "got"
    await _deliver(
        _provider(
            sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())", str(out)
        )
    )
    assert json.loads(out.read_text())["version"] == "4"


async def test_a_program_need_not_read_what_it_gets() -> None:
    await _deliver(_python("pass"), alerts=5_000)


async def test_an_exit_code_is_a_failed_delivery_that_says_the_last_line_without_secrets() -> None:
    code = "import os, sys; sys.stderr.write('first\\nno such room ' + os.environ['KEY'] + ' \\x1b[31m\\n'); sys.exit(3)"
    error = await _refusal(_python(code, env={"KEY": "s3cret-key"}))
    assert str(error) == "the program ended with exit code 3: no such room *** \\x1b[31m"
    assert not error.permanent


async def test_a_program_that_crashes_is_a_failed_delivery() -> None:
    error = await _refusal(_python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert str(error) == "the program was ended by signal 11"


async def test_endless_output_is_read_and_dropped() -> None:
    code = "import sys; [sys.stdout.write('x' * 65536) for _ in range(500)]; print('\\nthe end'); sys.exit(1)"
    assert str(await _refusal(_python(code))) == "the program ended with exit code 1: the end"


async def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"  # written long before the time is over: a shell starts at once
    program = _provider("/bin/sh", "-c", f"sleep 600 & echo $$ $! > '{pids}'; wait", timeout="3s")
    error = await _refusal(program)
    assert str(error) == "the program did not end within 3 seconds and was killed"
    for pid in map(int, pids.read_text().split()):
        await _until_gone(pid)


async def test_a_child_left_behind_is_ended_and_holds_nothing_up() -> None:
    async with asyncio.timeout(PATIENCE):
        await _deliver(_provider("/bin/sh", "-c", "sleep 600 & echo $!"))


async def test_a_stop_of_this_process_ends_the_program(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    task = asyncio.create_task(_deliver(_python(code)))
    await eventually(lambda: pid.exists() and pid.read_text())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await _until_gone(int(pid.read_text()))


@pytest.mark.parametrize(
    ("command", "said"),
    [("/no/such/program", "no such file or directory"), ("/etc/passwd", "permission denied")],
)
async def test_a_program_that_cannot_be_started_is_refused_for_good(command: str, said: str) -> None:
    error = await _refusal(_provider(command))
    assert str(error) == f"the program cannot be started: {said}"
    assert error.permanent


def test_a_program_given_by_a_path_is_in_the_config_files_folder(tmp_path: Path) -> None:
    for command, program in (("./notify.sh", str(tmp_path / "notify.sh")), ("notify-send", "notify-send")):
        table = {"name": "script", "provider": "exec", "command": command}
        settings = ExecSettings.model_validate(table, context={"folder": tmp_path})
        assert settings.command == [program]
