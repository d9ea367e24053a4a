"""TLS settings made of a receiver's own files: a client certificate, authorities."""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple

from chainwatch.alerting.providers.provider import NO_TLS_FILES, DeliveryError, TlsFiles


class _Read(NamedTuple):
    """``changed``: when each file was changed last; ``context``: what was made of them then."""

    changed: tuple[int, ...]
    context: ssl.SSLContext


class TlsContexts:
    """Keeps what was made of files until one of them changes: certificates are renewed while this program runs."""

    def __init__(self) -> None:
        self._known: dict[TlsFiles, _Read] = {}

    async def of(self, files: TlsFiles, who: str) -> ssl.SSLContext | bool:
        """Return the TLS settings that ``files`` make; True, the usual ones, where there are none.

        Raises ``DeliveryError``, in which ``who`` names the receiver, for files that cannot be used.
        """
        if files == NO_TLS_FILES:
            return True
        try:
            read = await asyncio.to_thread(_read, files, self._known.get(files))
        except (OSError, ValueError) as error:  # errors of TLS are among the former
            raise DeliveryError(
                f"a TLS file for {who} cannot be used: {type(error).__name__}", permanent=True, refused=True
            ) from None
        self._known[files] = read
        return read.context


def _read(files: TlsFiles, known: _Read | None) -> _Read:
    """Return what the files make, which is ``known`` unless they changed since."""
    changed = tuple(path.stat().st_mtime_ns for path in files if path is not None)
    if known is not None and known.changed == changed:
        return known
    context = ssl.create_default_context(cafile=files.authority)
    if files.certificate is not None:
        # without a password for an encrypted key, OpenSSL would ask on the terminal
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    return _Read(changed, context)
