"""Secret texts kept as scrypt hashes (RFC 7914), with the parameters and the salt that each was made with."""

from __future__ import annotations

import hashlib
import hmac
import os

_COST, _BLOCK, _PARALLEL = 2**14, 8, 1
"""16 MiB of memory and some 40 ms of a core for each hash."""


def hash_secret(secret: str) -> str:
    """Return ``scrypt$N$r$p$SALT$HASH``, the last two in hex."""
    salt = os.urandom(16)
    return f"scrypt${_COST}${_BLOCK}${_PARALLEL}${salt.hex()}${_scrypt(secret, salt, _COST, _BLOCK, _PARALLEL).hex()}"


def is_secret_of(secret: str, stored: str) -> bool:
    """Return whether ``stored`` is the hash of ``secret``; takes as long whichever character differs."""
    try:
        _, cost, block, parallel, salt, expected = stored.split("$")
        made = _scrypt(secret, bytes.fromhex(salt), int(cost), int(block), int(parallel))
        return hmac.compare_digest(made, bytes.fromhex(expected))
    except ValueError:  # not a hash of ours
        return False


def _scrypt(secret: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    content = secret.encode("utf-8", "surrogateescape")
    return hashlib.scrypt(content, salt=salt, n=cost, r=block, p=parallel, dklen=32)
