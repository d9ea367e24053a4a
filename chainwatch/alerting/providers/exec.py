"""A program of the operator's: it gets each notification as JSON on its standard input."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Annotated, NamedTuple

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers.provider import Capabilities, DeliveryError, Receipt, Server
from chainwatch.alerting.providers.transport import Transport, reason
from chainwatch.alerting.providers.webhook_bodies import alertmanager
from chainwatch.config.receivers import ReceiverSettings
from chainwatch.config.types import Expected, PositiveDuration, Secret, Text, in_folder
from chainwatch.grammar.durations import parse_duration
from chainwatch.support.printable import clean
from chainwatch.support.redaction import Redactor, parts_of

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE")
"""The variables that the program gets of this process's environment, which holds secrets of other receivers."""
OUTPUT_KEPT = 2_000
"""The last bytes of a program's output that are kept; the others are read and dropped."""
SAID_MAX = 300
"""Characters of the output's last line that an error repeats."""
CHUNK = 65_536
READ_WITHIN = 1.0
"""Seconds for the rest of the output once the program has ended."""
WHO = "the program"


def _command(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _in_folder(command: list[str], info: ValidationInfo) -> list[str]:
    """Return ``command`` with a program given by a path made absolute; a bare name is looked up in ``PATH``."""
    if any("\0" in part for part in command):
        raise Expected("a program and its arguments")
    return [str(in_folder(command[0], info)) if "/" in command[0] else command[0], *command[1:]]


class ExecSettings(ReceiverSettings):
    """A program that gets each notification as Alertmanager's webhook body, version 4, on its standard input."""

    command: Annotated[list[Text], BeforeValidator(_command), AfterValidator(_in_folder)] = Field(
        min_length=1,
        description="The program and its arguments, without a shell. A path is relative to the config file's folder; a bare "
        "name is looked up in `PATH`.",
    )
    env: dict[Text, Secret] = Field(
        default={},
        description="Environment variables for it (secret), besides "
        + ", ".join(f"`{name}`" for name in INHERITED)
        + ", `CHAINWATCH_RECEIVER` and `CHAINWATCH_IDEMPOTENCY_KEY`. Nothing else is passed on.",
    )
    timeout: PositiveDuration = Field(
        default=parse_duration("30s"),
        description="Time after which it is killed, with all processes that it has started.",
    )


class ExecMessage(NamedTuple):
    """What the program gets."""

    content: bytes
    idempotency_key: str


class ExecProvider:
    """Runs the program once for each notification, one at a time; exit code 0 means that the notification was taken."""

    settings_type = ExecSettings
    capabilities = Capabilities()
    server: Server | None = None

    def __init__(self, settings: ExecSettings, transport: Transport) -> None:
        self._settings = settings
        own = {name: value.get_secret_value() for name, value in settings.env.items()}
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._env = {**inherited, **own, "CHAINWATCH_RECEIVER": settings.name}
        self._redact = Redactor(part for value in own.values() for part in parts_of(value))

    def render(self, notification: Notification, previous: Receipt | None) -> ExecMessage:
        """Return Alertmanager's message."""
        return ExecMessage(msgspec.json.encode(alertmanager(notification)), notification.idempotency_key)

    async def send(self, message: ExecMessage) -> Receipt:
        """Return once the program has ended with exit code 0. Raises ``DeliveryError``."""
        env = {**self._env, "CHAINWATCH_IDEMPOTENCY_KEY": message.idempotency_key}
        output = Output()
        try:
            async with asyncio.timeout(self._settings.timeout):
                code = await _run(self._settings.command, env, message.content, output)
        except TimeoutError:
            raise DeliveryError(
                f"{WHO} did not end within {self._settings.timeout:g} seconds and was killed"
            ) from None
        except (OSError, ValueError) as error:  # the latter for a name of a variable that no system takes
            why = reason(error) if isinstance(error, OSError) else "its environment is not valid"
            lasting = isinstance(error, FileNotFoundError | PermissionError | ValueError)
            raise DeliveryError(f"{WHO} cannot be started: {why}", permanent=lasting, refused=True) from None
        if code != 0:
            raise DeliveryError(self._failure(code, bytes(output.last)))
        return Receipt()

    def _failure(self, code: int, output: bytes) -> str:
        """Return the exit code, or the signal, in words, and the last line that the program has written."""
        lines = output.decode(errors="replace").strip().splitlines()
        said = f": {clean(self._redact(lines[-1]))[:SAID_MAX]}" if lines else ""
        how = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
        return f"{WHO} {how}{said}"


class Output:
    """Reads everything that a program writes, and keeps the last of it."""

    def __init__(self) -> None:
        self.last = bytearray()

    async def read(self, pipe: IO[bytes]) -> None:
        """Read until no process has the other end of ``pipe`` open."""
        reader = asyncio.StreamReader(limit=CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        try:
            while some := await reader.read(CHUNK):
                self.last += some
                del self.last[:-OUTPUT_KEPT]
        finally:
            transport.close()


async def _run(command: Sequence[str], env: Mapping[str, str], content: bytes, output: Output) -> int:
    """Return the exit code of ``command``; no process of its group outlives this call.

    It gets ``content`` as a file, which it need not read. Its output is a pipe of our own: asyncio waits for its own pipes,
    which a process left behind may hold open.
    """
    ours, theirs = os.pipe()
    reading = asyncio.create_task(output.read(os.fdopen(ours, "rb")))
    try:
        try:
            with _open_file() as given:
                given.write(content)
                given.seek(0)
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=given, stdout=theirs, stderr=theirs, env=env, start_new_session=True
                )
        finally:
            os.close(theirs)
        try:
            code = await process.wait()
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await asyncio.wait([reading], timeout=READ_WITHIN)
        return code
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _open_file() -> IO[bytes]:
    """Return an empty file without a name, in memory where the system has that: a full disk must not hold up alerts."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("chainwatch"), "w+b")
    return tempfile.TemporaryFile()
