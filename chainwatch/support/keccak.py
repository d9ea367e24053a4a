"""Keccak-256, the hash of Ethereum, from the fastest implementation that is installed."""

from __future__ import annotations

try:
    from sha3 import keccak_256 as _keccak_256  # type: ignore[import-untyped]  # a C extension without stubs
except ImportError:  # PyPy, or built without it: eth-hash brings its own backend
    from eth_hash.auto import keccak as _keccak

    def keccak256(data: bytes) -> bytes:
        """Return the 32-byte Keccak-256 hash of ``data`` (Ethereum's, not NIST SHA3-256)."""
        return bytes(_keccak(data))

else:

    def keccak256(data: bytes) -> bytes:
        """Return the 32-byte Keccak-256 hash of ``data`` (Ethereum's, not NIST SHA3-256)."""
        digest: bytes = _keccak_256(data).digest()
        return digest


def checksum_address(address: bytes) -> str:
    """Return the EIP-55 text of a 20-byte address: hex whose letters are upper case by the digits of its hash."""
    digits = address.hex()
    nibbles = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if nibble >= "8" else digit for digit, nibble in zip(digits, nibbles, strict=False)
    )
