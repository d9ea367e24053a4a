"""EIP-55 text of addresses, fast enough to be made for every address of every log."""

from __future__ import annotations

from binascii import hexlify

from chainwatch.support.keccak import keccak256

CACHE_SIZE = 65_536
"""Addresses remembered (some 12 MB). A full cache is emptied: busy addresses are back at once."""


class Checksums(dict[bytes, str]):
    """20 bytes → checksummed text, made on first use. A hit costs one dictionary look-up."""

    def __missing__(self, address: bytes) -> str:
        if len(self) >= CACHE_SIZE:
            self.clear()
        text = self[address] = checksum(address)
        return text


CHECKSUMS = Checksums()

_HIGH_NIBBLES = bytes(0x20 if chr(digit) in "89abcdef" else 0 for digit in range(256))


def checksum(address: bytes) -> str:
    """Return the EIP-55 text of a 20-byte address.

    All 40 digits at once: in ASCII a letter has bit 0x40 where a digit has none, and bit 0x20 tells lower from
    upper case. So the letters to raise are those whose bit 0x40, moved to 0x20, meets a hash digit of 8 or more.
    """
    digits = hexlify(address)
    text = int.from_bytes(digits)
    raised = int.from_bytes(hexlify(keccak256(digits)[:20]).translate(_HIGH_NIBBLES))
    return "0x" + (text ^ (text >> 1 & raised)).to_bytes(40).decode()
