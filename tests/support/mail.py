"""A mail server (aiosmtpd) that keeps what it takes and answers as instructed; a certificate of its own."""

import asyncio
import email
import ssl
import subprocess
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.ports import free_port

USER, PASSWORD = "chainwatch", "s3cret-of-the-mailbox"


class MailServer:
    """An async context manager. ``answers``: by command (``MAIL``, ``RCPT``, ``RCPT a@b.example``, ``DATA``) the replies
    to give instead of taking it, each once; at ``hangs_at`` it answers nothing.
    """

    def __init__(self, *, security: str = "none", auth: bool = False, folder: Path | None = None) -> None:
        self.port = free_port()
        self.mails: list[EmailMessage] = []
        self.envelopes: list[tuple[str, tuple[str, ...]]] = []
        self.connections = 0
        self.answers: dict[str, list[str]] = {}
        self.hangs_at: str | None = None
        self._auth = auth
        self._security = security
        self._tls: ssl.SSLContext | None = None
        if security != "none":
            assert folder is not None
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(*certificate(folder))
        self._server: asyncio.Server | None = None
        self._transports: list[asyncio.Transport] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        tls = self._tls if self._security == "tls" else None
        self._server = await asyncio.get_running_loop().create_server(
            self._protocol, "127.0.0.1", self.port, ssl=tls
        )

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Break all connections off."""
        for transport in self._transports:
            transport.abort()
        self._transports.clear()

    def _protocol(self) -> SMTP:
        server = self

        class Protocol(SMTP):
            def connection_made(self, transport: Any) -> None:
                server.connections += 1
                server._transports.append(transport)
                super().connection_made(transport)

        starttls = self._tls if self._security == "starttls" else None
        return Protocol(
            self,
            hostname="mail.example",
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=self._auth,
            auth_require_tls=False,
            authenticator=_authenticate if self._auth else None,
            enable_SMTPUTF8=False,
        )

    # --- what aiosmtpd calls ------------------------------------------------------------------------------

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if (answer := await self._answer("MAIL")) is not None:
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        for command in (f"RCPT {address}", "RCPT"):
            if (answer := await self._answer(command)) is not None:
                return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if (answer := await self._answer("DATA")) is not None:
            return answer
        content = envelope.original_content or b""
        self.mails.append(email.message_from_bytes(content, policy=default))
        self.envelopes.append((str(envelope.mail_from), tuple(envelope.rcpt_tos)))
        return "250 taken"

    async def _answer(self, command: str) -> str | None:
        if self.hangs_at == command:
            await asyncio.sleep(30)
        scripted = self.answers.get(command)
        return scripted.pop(0) if scripted else None


def _authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
) -> AuthResult:
    good = isinstance(data, LoginPassword) and data == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Return a certificate for ``localhost`` and 127.0.0.1 that is its own authority, and its key, made in ``folder``."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    if not cert.exists():
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                *("-keyout", str(key), "-out", str(cert)),
            ],
            check=True,
            capture_output=True,
        )
    return cert, key
