"""What is known of an event beside its arguments: where it was seen, by which contract, in which transaction. Pure."""

from __future__ import annotations

from chainwatch.model import AbiEvent, AbiParam

PLACE = (
    AbiParam("block", "tuple", components=(AbiParam("number", "uint256"), AbiParam("timestamp", "uint256"))),
    AbiParam("network", "string"),
    AbiParam(
        "transaction",
        "tuple",
        components=(
            AbiParam("hash", "bytes32"),
            AbiParam("from", "address"),
            AbiParam("to", "address"),
            AbiParam("value", "uint256"),
            AbiParam("input", "bytes"),
        ),
    ),
    AbiParam("log", "tuple", components=(AbiParam("index", "uint256"),)),
    AbiParam("emitter", "address"),
)
"""What is known of an event beside its arguments, which win where the names meet."""

TRANSACTION = {
    "transaction.from": "sender(event.log)",
    "transaction.to": "recipient(event.log)",
    "transaction.value": "wei(event.log)",
    "transaction.input": "calldata(event.log)",
}
"""What is read of the transaction itself, which costs a question to a node: see `chainwatch.checker.calldata`."""

PLACE_CODE = {
    "block.number": "event.log.block_number",
    "block.timestamp": "event.log.timestamp",
    "network": "event.network",
    "transaction.hash": "event.log.tx_hash",
    **TRANSACTION,
    "log.index": "event.log.log_index",
    "emitter": "address_text(event.log.address)",
}
"""The same as read from a `chainwatch.model.Event`."""

EVENT = "event"
"""The prefix that says which is meant where an argument has the name of something else: ``event.args.network`` is the
argument, ``event.network`` is not."""

CALL = "call"
"""The prefix of the arguments of the function that the transaction called."""

SIBLINGS_PLACE = tuple(param for param in PLACE if param.name in ("log", "emitter"))
"""What else is known of a sibling; the rest is as of the event itself."""


def place_text(text: str, event: AbiEvent) -> str:
    """Return the name, among the facts, of what is known of an event beside its arguments."""
    is_taken = any(param.name == text.partition(".")[0] for param in event.inputs)
    return f"{EVENT}.{text}" if is_taken else text
