"""Arbitrum: a retryable ticket's id is the hash of the L2 transaction that its message from the parent chain becomes.

See ``ArbitrumSubmitRetryableTx`` in OffchainLabs/go-ethereum, and ``calculateSubmitRetryableId`` and
``SubmitRetryableMessageDataParser`` in the npm package @arbitrum/sdk.
"""

from __future__ import annotations

from collections.abc import Iterable

from chainwatch.checker.protocols.function import ProtocolFunction
from chainwatch.checker.values import MAX_SIZE, bounded
from chainwatch.model import AbiParam
from chainwatch.support.keccak import keccak256

_TRANSACTION_TYPE = b"\x69"
_WORD, _WORDS = 32, 9


def ticket_id(chain_id: int, number: int, sender: str, base_fee: int, message: bytes) -> bytes:
    """Return the id of the ticket that the message of that ``number`` creates on the network ``chain_id``.

    ``sender`` (aliased) and ``base_fee`` (wei) are those of ``MessageDelivered``. ``message``, of ``InboxMessageDelivered``,
    is nine words and the calldata behind them: to, L2 call value, deposit, maximum submission fee, refund address of fees,
    refund address of the call value, gas limit, maximum fee per gas, length of the calldata.
    Raises ``ValueError`` where ``message`` is none of a retryable ticket.
    """
    bounded(message)
    head, calldata = message[: _WORDS * _WORD], message[_WORDS * _WORD :]
    if len(head) < _WORDS * _WORD:
        raise ValueError(f"a message of {len(message)} bytes is no retryable ticket")
    words = [head[start : start + _WORD] for start in range(0, len(head), _WORD)]
    to, l2_value, deposit, submission_fee, fee_refund, value_refund, gas_limit, gas_price, length = words
    if int.from_bytes(length) != len(calldata):
        raise ValueError(
            f"a retryable ticket with {int.from_bytes(length)} bytes of calldata, not {len(calldata)}"
        )
    receiver = _address(to)
    fields = (
        _natural(chain_id),
        number.to_bytes(_WORD),
        bytes.fromhex(sender[2:]),
        _natural(base_fee),
        deposit.lstrip(b"\0"),
        gas_price.lstrip(b"\0"),
        gas_limit.lstrip(b"\0"),
        receiver if any(receiver) else b"",  # the zero address creates a contract
        l2_value.lstrip(b"\0"),
        _address(value_refund),
        submission_fee.lstrip(b"\0"),
        _address(fee_refund),
        calldata,
    )
    return keccak256(_TRANSACTION_TYPE + _rlp_list(fields))


def _natural(number: int) -> bytes:
    return number.to_bytes(_WORD).lstrip(b"\0")


def _address(word: bytes) -> bytes:
    if any(word[:12]):
        raise ValueError(f"0x{word.hex()} is no address")
    return word[12:]


def _rlp_list(items: Iterable[bytes]) -> bytes:
    """Return RLP of a list of byte strings (Ethereum's yellow paper, appendix B)."""
    payload = b"".join(map(_rlp_string, items))
    return _rlp_prefix(0xC0, len(payload)) + payload


def _rlp_string(value: bytes) -> bytes:
    if len(value) == 1 and value[0] < 0x80:
        return value
    return _rlp_prefix(0x80, len(value)) + value


def _rlp_prefix(base: int, length: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([base + 55 + len(size)]) + size


TICKET_ID = ProtocolFunction(
    "arbitrum.ticket_id",
    (
        AbiParam("chainId", "uint256"),
        AbiParam("messageNum", "uint256"),
        AbiParam("sender", "address"),
        AbiParam("baseFeeL1", "uint256"),
        AbiParam("data", "bytes"),
    ),
    "bytes32",
    ticket_id,
    cost=50 + MAX_SIZE / 300,
)
