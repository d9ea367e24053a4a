"""Bodies compressed by gzip (RFC 1952), bounded while they are unpacked."""

from __future__ import annotations

import zlib

from chainwatch.ingestion.model import IngestionError, TooLarge

_GZIP = 16 + zlib.MAX_WBITS


def decompress(body: bytes, size_max: int) -> bytes:
    """Return what ``body`` holds. Raises ``TooLarge``, and ``IngestionError`` for what is no gzip, or not all of it."""
    content = bytearray()
    while body:
        member = zlib.decompressobj(_GZIP)
        try:
            content += member.decompress(body, size_max - len(content) + 1)
        except zlib.error:
            raise IngestionError("the body is no gzip") from None
        if len(content) > size_max:
            raise TooLarge(f"more than {size_max} bytes, decompressed")
        if not member.eof:
            raise IngestionError("the end of the gzip body is missing")
        body = member.unused_data
    return bytes(content)
