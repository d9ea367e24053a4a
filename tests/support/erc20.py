"""Contracts that answer ``symbol()`` and ``decimals()`` as a test wants them to, as bytecode."""

from collections.abc import Mapping

from eth_abi.abi import encode

from chainwatch.chain.erc20 import DECIMALS, SYMBOL

SIX = encode(["uint256"], [6])


def code(answers: Mapping[bytes, bytes]) -> bytes:
    """A contract that returns for each selector what ``answers`` has, and reverts for any other."""
    entry, exits, size = 16, 15, 5
    head = len(answers) * entry + size
    begin, data_at = head, head + len(answers) * exits
    heads, bodies, data = b"", b"", b""
    for selector, returned in answers.items():
        at = begin + len(bodies)
        heads += bytes.fromhex("5f3560e01c63") + selector + b"\x14\x61" + at.to_bytes(2, "big") + b"\x57\x5b"
        length = len(returned).to_bytes(2, "big")
        where = (data_at + len(data)).to_bytes(2, "big")
        bodies += b"\x5b\x61" + length + b"\x61" + where + b"\x5f\x39\x61" + length + b"\x5f\xf3" + b"\x5b"
        data += returned
    return heads + b"\x5f\x5f\xfd\x5b\x5b" + bodies + data


def token(symbol: bytes, decimals: bytes = SIX) -> bytes:
    return code({SYMBOL: symbol, DECIMALS: decimals})


def text(symbol: str) -> bytes:
    return encode(["string"], [symbol])
