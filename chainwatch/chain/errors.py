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
    """Return ``error`` without the frames that it came through, which hold the answers that it is about."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


class RpcError(ChainError):
    """A call to one endpoint failed, or its answer is wrong. ``endpoint`` is the endpoint's name, ``what`` the reason."""

    def __init__(self, endpoint: str, what: str) -> None:
        super().__init__(f"{endpoint}: {what}")
        self.endpoint = endpoint
        self.what = what


class TransportError(RpcError):
    """No answer: the connection was refused, reset or closed, or there is no such host."""


class RpcTimeout(TransportError):
    """No complete answer in time."""


class HttpStatusError(RpcError):
    """An answer with an HTTP status other than 200. ``retry_after`` is in seconds, None where the answer names none."""

    def __init__(self, endpoint: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(endpoint, f"HTTP status {status}")
        self.status = status
        self.retry_after = retry_after


class RateLimited(RpcError):
    """The endpoint refuses so many calls. ``retry_after`` is in seconds, None where the answer names none."""

    def __init__(self, endpoint: str, what: str, retry_after: float | None = None) -> None:
        super().__init__(endpoint, what)
        self.retry_after = retry_after


class MalformedAnswer(RpcError):
    """An answer that is not what was asked for: HTML, cut JSON, null, a foreign log, a batch with a hole."""


class AnswerTooBig(RpcError):
    """An answer larger than chainwatch accepts."""


class NoRoomForAnswer(AnswerTooBig):
    """An answer for which there is no memory while so many others are being read: no fault of the endpoint."""


class Unforeseen(RpcError):
    """A call has failed by an exception of any other class; ``what`` names that class and the place in the code."""


class NodeError(RpcError):
    """The node answered with a JSON-RPC error: ``code``, ``message``."""

    def __init__(self, endpoint: str, method: str, code: int, message: str) -> None:
        super().__init__(endpoint, f"{method} failed with code {code}: {message}")
        self.method = method
        self.code = code
        self.message = message


class ExecutionFailed(NodeError):
    """An `eth_call` that the EVM ended by itself: it reverted (``data``: the bytes it gave), ran out of gas, and the like.

    That is a property of the call at that block and not a fault of the endpoint.
    """

    def __init__(self, endpoint: str, code: int, message: str, data: bytes) -> None:
        super().__init__(endpoint, "eth_call", code, message)
        self.data = data


class NotThere(RpcError):
    """The node does not know a block that others have: it lags, is pruned, or is on another fork."""


class Disputed(NotThere):
    """An answer about a block is contradicted by the block's bloom or by another endpoint, and neither is proven right."""


class ForeignChain(RpcError):
    """The endpoint serves another chain than the configured one."""


class RangeTooWide(RpcError):
    """The node refuses to search so many blocks for logs at once.

    ``blocks`` is the number of blocks that would work according to the answer, None where it names none; ``structural``:
    whether that is a limit of the endpoint on every range, whatever the range holds; ``timed_out``: whether there was no
    answer in time.
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
    """No endpoint of the network is usable now. ``what`` holds the last error of each."""


class WrongChain(ChainError):
    """Every endpoint of the network answers for another chain than the configured one."""

    def __init__(self, network: str, expected: int, found: dict[str, int]) -> None:
        answers = ", ".join(f"{name} is chain {chain_id}" for name, chain_id in found.items())
        super().__init__(
            f"network {network}: chain_id {expected} is configured, but {answers}; "
            f"correct networks.{network}.chain_id or networks.{network}.rpc"
        )
        self.network = network
        self.expected = expected
        self.found = found


class OtherHistory(NotThere):
    """The endpoint's chain holds none of the blocks that were read: it was reset, or is on a fork of its own."""


class DeepReorg(ChainError):
    """The chain no longer holds any block of the header window: what is stored cannot be matched with it.

    ``all_asked``: no endpoint is usable now that was not asked.
    """

    all_asked = True

    def __init__(self, network: str, oldest: int, newest: int, *, all_asked: bool = True) -> None:
        super().__init__(
            f"network {network}: none of the blocks {oldest}..{newest} that are kept is in the chain any more; "
            f"the reorg is deeper than networks.{network}.reorg_window, or the node serves another chain. "
            f"{_halted(network)}"
        )
        self.network = network
        self.oldest = oldest
        self.newest = newest
        self.all_asked = all_asked


class ChainReset(DeepReorg):
    """The chain was reset: its head is below all blocks that are kept, and yet was made later."""

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
        f"Reading of {network} is halted and its deadlines are held. If the node is wrong, correct networks.{network}.rpc "
        f"and restart; if the chain is, stop chainwatch, run `chainwatch rewind {network} BLOCK`, and start it again"
    )
