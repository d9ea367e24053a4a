"""What can go wrong between chainwatch and a node: one tree of typed errors.

Texts name the endpoint as ``network[index] host`` and never its URL, whose path is often a key (S9).
"""

from __future__ import annotations

from typing import TypeVar

from chainwatch.model import Header


class ChainError(Exception):
    """Reading a network failed."""


ChainErrorT = TypeVar("ChainErrorT", bound=ChainError)


def bare(error: ChainErrorT) -> ChainErrorT:
    """``error`` without the frames that it came through, which hold the answers that it is about."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


class RpcError(ChainError):
    """One question to one endpoint was not answered as it must be. ``endpoint`` is the endpoint's name."""

    def __init__(self, endpoint: str, what: str) -> None:
        super().__init__(f"{endpoint}: {what}")
        self.endpoint = endpoint
        self.what = what


class TransportError(RpcError):
    """No answer: connection refused, reset, closed, no such host."""


class RpcTimeout(TransportError):
    """No whole answer in time."""


class HttpStatusError(RpcError):
    """An answer with an HTTP status that is not 200. ``retry_after`` is in seconds, None when it did not say."""

    def __init__(self, endpoint: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(endpoint, f"HTTP status {status}")
        self.status = status
        self.retry_after = retry_after


class RateLimited(RpcError):
    """The endpoint wants fewer questions. ``retry_after`` is in seconds, None when it did not say."""

    def __init__(self, endpoint: str, what: str, retry_after: float | None = None) -> None:
        super().__init__(endpoint, what)
        self.retry_after = retry_after


class MalformedAnswer(RpcError):
    """An answer that is not what was asked for: HTML, cut JSON, null, a foreign log, a batch with a hole."""


class AnswerTooBig(RpcError):
    """An answer larger than chainwatch is ready to hold."""


class NoRoomForAnswer(AnswerTooBig):
    """An answer that there is no room for while so many others are being read: no fault of the endpoint."""


class Unforeseen(RpcError):
    """Asking an endpoint failed by an exception that nobody thought of; ``what`` names its class and place."""


class NodeError(RpcError):
    """The node understood and answered with a JSON-RPC error: ``code``, ``message``."""

    def __init__(self, endpoint: str, method: str, code: int, message: str) -> None:
        super().__init__(endpoint, f"{method} failed with code {code}: {message}")
        self.method = method
        self.code = code
        self.message = message


class ExecutionFailed(NodeError):
    """An `eth_call` that the EVM ended by itself: it reverted (``data``: the bytes it gave), ran out of gas, and the like.

    It is a property of the call at that block and not a fault of the endpoint.
    """

    def __init__(self, endpoint: str, code: int, message: str, data: bytes) -> None:
        super().__init__(endpoint, "eth_call", code, message)
        self.data = data


class NotThere(RpcError):
    """The node does not know a block that others have: it lags, is pruned, or is on another fork."""


class Disputed(NotThere):
    """What was said of a block's logs is contradicted by its bloom or by another endpoint, and nothing has settled it."""


class ForeignChain(RpcError):
    """The endpoint serves another chain than the configured one."""


class RangeTooWide(RpcError):
    """The node will not search that many blocks for logs at once.

    ``blocks`` is the number of blocks that the answer says would work, None when it names none; ``structural`` is
    whether that is a limit of the endpoint on every range, whatever the range holds.
    """

    def __init__(
        self,
        endpoint: str,
        what: str,
        blocks: int | None = None,
        structural: bool = False,
        timed_out: bool = False,
    ) -> None:
        super().__init__(endpoint, what)
        self.blocks = blocks
        self.structural = structural
        self.timed_out = timed_out


class Unavailable(RpcError):
    """No endpoint of the network can be asked now. ``what`` holds each one's last error."""


class WrongChain(ChainError):
    """Every endpoint of the network answers for another chain than the configured one."""

    def __init__(self, network: str, expected: int, found: dict[str, int]) -> None:
        answers = ", ".join(f"{name} is chain {chain_id}" for name, chain_id in found.items())
        super().__init__(
            f"network {network}: chain_id {expected} is configured, but {answers}; "
            f"mend networks.{network}.chain_id or networks.{network}.rpc"
        )
        self.network = network
        self.expected = expected
        self.found = found


class OtherHistory(NotThere):
    """The endpoint's chain holds none of the blocks that were read: it was reset, or is on a fork of its own."""


class DeepReorg(ChainError):
    """The chain no longer holds any block of the header window: what is stored cannot be matched with it."""

    def __init__(self, network: str, oldest: int, newest: int) -> None:
        super().__init__(
            f"network {network}: none of the blocks {oldest}..{newest} that are kept is in the chain any more; "
            f"the reorg is deeper than networks.{network}.reorg_window, or the node serves another chain. "
            f"{_halted(network)}"
        )
        self.network = network
        self.oldest = oldest
        self.newest = newest


class ChainReset(DeepReorg):
    """The chain began anew: its head is below all blocks that are kept, and yet was made later."""

    def __init__(self, network: str, head: Header, oldest: Header, last: Header) -> None:
        ChainError.__init__(
            self,
            f"network {network}: the chain was reset: its head, block {head.number}, was made at {head.timestamp}, after "
            f"block {oldest.number}, which was read and made at {oldest.timestamp}; read was up to block {last.number}. "
            f"{_halted(network)}",
        )
        self.network = network
        self.oldest = oldest.number
        self.newest = last.number


def _halted(network: str) -> str:
    return (
        f"Reading of {network} is halted and its deadlines are held. If the node is wrong, mend networks.{network}.rpc "
        f"and restart; if the chain is, stop chainwatch, run `chainwatch rewind {network} BLOCK`, and start it again"
    )
