"""Snappy's block format, bounded before it is unpacked.

Source: https://github.com/google/snappy/blob/main/format_description.txt.
"""

from __future__ import annotations

import cramjam

from chainwatch.ingestion.model import IngestionError, TooLarge


def decompress(body: bytes, size_max: int) -> bytes:
    """Return what ``body`` holds. Raises ``IngestionError``, and ``TooLarge`` by the size that it declares."""
    try:
        size = cramjam.snappy.decompress_raw_len(body)
    except cramjam.DecompressionError:
        raise IngestionError(_NOT_SNAPPY) from None
    if size > size_max:
        raise TooLarge(
            f"the body has {size} bytes decompressed, at most {size_max} are read: send fewer samples at once"
        )
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError:
        raise IngestionError(_NOT_SNAPPY) from None


_NOT_SNAPPY = "the body is no snappy: compress it in snappy's block format, not the framed one"
