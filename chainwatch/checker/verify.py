"""Built-in checks by name: what an event claims about itself must hold (``verify = ["connext.transfer_id"]``).

Connext (Amarok) names a transfer by the hash of its parameters (`chainwatch.checker.protocols.connext`), and a message by
the hash of its body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chainwatch.checker.path import Path, compile_path
from chainwatch.checker.protocols.connext import TRANSFER_INFO, encode_transfer_info
from chainwatch.checker.syntax import ConditionError
from chainwatch.model import AbiEvent, AbiParam, to_hex
from chainwatch.support.keccak import keccak256

__all__ = ["CHECKS", "Check", "CheckError", "Verify", "encode_transfer_info"]

Verify = Callable[[Mapping[str, Any]], str | None]
"""An event's args in, None out when they agree, else a sentence with what was expected and what was found."""


class CheckError(ValueError):
    """An event without the fields that a check reads."""


@dataclass(frozen=True)
class Check:
    """A named check: one field must be the Keccak-256 hash of another, encoded.

    ``hash_field`` is a bytes32. ``sources`` are the places where the hashed value may be, the first that an
    event has counts; it must be of ``source_type``. ``text`` says what is hashed, with ``{}`` for that place.
    """

    name: str
    hash_field: str
    sources: tuple[str, ...]
    source_type: AbiParam
    text: str
    encode: Callable[[Any], bytes]

    def bind(self, event: AbiEvent) -> Verify:
        """Return the check for this event; raises `CheckError` naming the fields that it has not got."""
        return self._verifier(*self.paths(event))

    def paths(self, event: AbiEvent) -> tuple[Path, Path]:
        """Return where the event has the hash and what is hashed; raises `CheckError`."""
        expected = _path_of_type(self.hash_field, _HASH, event)
        source = next(filter(None, (_path_of_type(s, self.source_type, event) for s in self.sources)), None)
        if expected is None or source is None:
            wanted = f"{' or '.join(self.sources)} ({self.source_type.canonical_type})"
            needed = f"it needs {self.hash_field} (bytes32) and {wanted}"
            raise CheckError(f"{self.name} cannot check {event.signature}: {needed}")
        return expected, source

    def _verifier(self, expected: Path, source: Path) -> Verify:
        encode = self.encode

        def verify(args: Mapping[str, Any]) -> str | None:
            found: bytes = expected.get(args)
            hashed = keccak256(encode(source.get(args)))
            if found == hashed:
                return None
            text = self.text.format(source.text)
            return f"{expected.text} is not {text}: expected {to_hex(hashed)}, got {to_hex(found)}"

        return verify


_HASH = AbiParam("", "bytes32")

CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (
        Check(
            name="connext.transfer_id",
            hash_field="transferId",
            sources=("params", "args.params"),
            source_type=TRANSFER_INFO,
            text="keccak256(abi.encode({}))",
            encode=encode_transfer_info,
        ),
        Check(
            name="connext.message_hash",
            hash_field="messageHash",
            sources=("messageBody",),
            source_type=AbiParam("", "bytes"),
            text="keccak256({})",
            encode=bytes,
        ),
    )
}
"""Every check that ``verify`` may name."""


def _path_of_type(text: str, wanted: AbiParam, event: AbiEvent) -> Path | None:
    """Return the path, if the event has it and it is of this type."""
    try:
        path = compile_path(text, event)
    except ConditionError:
        return None
    fits = (path.param.type, path.param.components) == (wanted.type, wanted.components)
    return path if fits else None
