"""A connection to a mail server that is kept for the messages of a batch, and its answers as errors (RFC 5321)."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import aiosmtplib
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from chainwatch.alerting.providers.provider import DeliveryError
from chainwatch.alerting.providers.transport import Transport, is_public, reason
from chainwatch.support.printable import clean
from chainwatch.support.redaction import Redactor, parts_of

IDLE = 10.0
"""Seconds for which a connection is kept after a message."""
CONNECT_TIMEOUT = 10.0
"""Seconds for a TCP connection to one of the server's addresses."""
TOTAL_TIMEOUT = 120.0
"""Seconds for a whole message, whatever the time-out of a single answer."""
REPLY_MAX = 200
"""Characters of a server's reply that an error repeats."""
SHUTTING_DOWN = 421
"""The server closes the connection; it may take the message later."""

WHO = "the mail server"

T = TypeVar("T")
Security = Literal["starttls", "tls", "none"]
Refused = dict[str, SMTPRecipientRefused]
"""The recipients that the server did not take, with its replies."""


@dataclass(frozen=True)
class MailServer:
    """A mail server and how to speak to it. ``timeout``: seconds for each of its answers."""

    host: str
    port: int
    security: Security
    username: str | None
    password: str = field(repr=False)
    allow_private: bool
    timeout: float


class SmtpConnection:
    """Sends messages over one connection, one at a time; opens it when needed, closes it after ``IDLE`` seconds."""

    def __init__(self, server: MailServer, transport: Transport) -> None:
        self._server = server
        self._transport = transport
        self._client: aiosmtplib.SMTP | None = None
        self._idle: asyncio.Task[None] | None = None
        self._redact = Redactor(parts_of(server.password) if server.password else ())

    async def send(self, sender: str, recipients: Sequence[str], content: bytes) -> Refused:
        """Hand over ``content`` for ``recipients``; return those that the server refused, which may be all.

        Raises ``DeliveryError`` when it took the message for none of the others.
        """
        refused = await self._explaining(self._send(sender, recipients, content))
        self._idle = asyncio.create_task(self._close_when_idle(), name="smtp idle")
        return refused

    async def reach(self) -> None:
        """Return once the server has answered, and taken the login if there is one. Raises ``DeliveryError``."""
        await self._explaining(self._connected())
        await self.close()

    async def close(self) -> None:
        """Take leave of the server, and close the connection."""
        self._stop_waiting()
        await self._quit()

    async def _close_when_idle(self) -> None:
        await asyncio.sleep(IDLE)
        await self._quit()

    async def _quit(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                with suppress(SMTPException, OSError):
                    await client.quit(timeout=1.0)
            finally:  # the next message may interrupt this
                client.close()

    async def _explaining(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns. Any error ends the connection; those of the server are a ``DeliveryError``."""
        self._stop_waiting()
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT):
                return await work
        except BaseException as error:
            self._drop()
            if isinstance(error, SMTPException | OSError | ValueError):  # time-outs are among these
                raise self._explained(error) from None
            raise

    async def _send(self, sender: str, recipients: Sequence[str], content: bytes) -> Refused:
        client = await self._connected()
        await client.mail(sender)
        refused: Refused = {}
        for recipient in recipients:
            try:
                await client.rcpt(recipient)
            except SMTPRecipientRefused as error:
                if error.code == SHUTTING_DOWN:
                    raise
                refused[recipient] = error
        if len(refused) < len(recipients):
            await client.data(content)
        else:
            await client.rset()
        return refused

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None:
            with suppress(SMTPException, OSError):  # the server may have closed it meanwhile
                await self._client.noop()
                return self._client
            self._drop()
        server = self._server
        tls = None if server.security == "none" else await asyncio.to_thread(ssl.create_default_context)
        sock = await _open_socket(server, self._transport)
        self._transport.keep(self)
        self._client = aiosmtplib.SMTP(
            hostname=server.host,
            sock=sock,
            local_hostname=_own_name(),
            timeout=server.timeout,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=tls,
            username=server.username,
            password=server.password if server.username else None,
        )
        try:
            await self._client.connect()
        except BaseException:
            sock.close()
            raise
        return self._client

    def _drop(self) -> None:
        self._stop_waiting()
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _explained(self, error: Exception) -> DeliveryError:
        """Return an error in words, without the password and without addresses of hosts (S9)."""
        match error:
            case DeliveryError():
                return error
            case SMTPAuthenticationError():
                return DeliveryError(
                    f"{WHO} refuses the login: {self.reply(error)}", permanent=error.code >= 500, refused=True
                )
            case SMTPResponseException(code=-1):
                return DeliveryError(f"{WHO} cannot be reached: its answer is not SMTP")
            case SMTPServerDisconnected() | SMTPConnectError(__cause__=SMTPServerDisconnected()):
                return DeliveryError(f"{WHO} closed the connection")
            case SMTPResponseException():
                return DeliveryError(
                    f"{WHO} answered {self.reply(error)}",
                    permanent=500 <= error.code < 600,
                    refused=error.code >= 400,
                )
            case SMTPTimeoutError() | TimeoutError():
                return DeliveryError(f"{WHO} did not answer within {self._server.timeout:g} seconds")
            case SMTPException() if not isinstance(error, OSError):
                return DeliveryError(
                    f"{WHO} does not support what is configured: {clean(error.message)[:REPLY_MAX]}",
                    permanent=True,
                    refused=True,
                )
        return DeliveryError(f"{WHO} cannot be reached: {reason(error)}")

    def reply(self, error: SMTPResponseException) -> str:
        """Return a server's reply for people: its code and the beginning of its text."""
        return f"{error.code} {clean(self._redact(str(error.message)))[:REPLY_MAX]}".rstrip()


async def _open_socket(server: MailServer, transport: Transport) -> socket.socket:
    """Return a socket connected to ``server``, at an address that its settings allow."""
    refusal: DeliveryError | None = None
    failure: OSError = OSError(None, "no address")
    loop = asyncio.get_running_loop()
    for family, address in await _addresses(server, transport):
        if problem := _refusal(server, address):
            refusal = DeliveryError(problem, permanent=True, refused=True)
            continue
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.sock_connect(sock, (address, server.port))
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise refusal or failure


def _refusal(server: MailServer, address: str) -> str:
    """Return why no mail may go to ``address``; empty where it may."""
    if not server.allow_private and not is_public(address):
        return f"{WHO}'s address is loopback, private or otherwise not public; set allow_private = true if that is meant"
    if server.security == "none" and is_public(address):
        return f'{WHO} is on the public internet: security = "none" is for private addresses only'
    return ""


async def _addresses(server: MailServer, transport: Transport) -> list[tuple[socket.AddressFamily, str]]:
    try:
        literal = ipaddress.ip_address(server.host)
    except ValueError:
        try:
            found = await transport.names.resolve(server.host, server.port, socket.AF_UNSPEC)
        except OSError:
            raise DeliveryError(
                f"{WHO} cannot be reached: its name cannot be looked up", refused=True
            ) from None
        return [(socket.AddressFamily(one["family"]), one["host"]) for one in found]
    return [(socket.AF_INET if literal.version == 4 else socket.AF_INET6, server.host)]


def _own_name() -> str:
    """Return this machine's name for the greeting. It is not looked up, which could take long."""
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", name) else "localhost"
