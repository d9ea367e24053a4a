"""The named checks against two real mainnet transfers, and the encoder against eth_abi."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.checker.verify import CHECKS, CheckError, Verify, encode_transfer_info
from chainwatch.model import AbiEvent, AbiParam
from chainwatch.support.keccak import checksum_address, keccak256

INFO = AbiParam(
    "params",
    "tuple",
    components=tuple(
        AbiParam(name, abi_type)
        for name, abi_type in (
            ("originDomain", "uint32"),
            ("destinationDomain", "uint32"),
            ("canonicalDomain", "uint32"),
            ("to", "address"),
            ("delegate", "address"),
            ("receiveLocal", "bool"),
            ("callData", "bytes"),
            ("slippage", "uint256"),
            ("originSender", "address"),
            ("bridgedAmt", "uint256"),
            ("normalizedIn", "uint256"),
            ("nonce", "uint256"),
            ("canonicalId", "bytes32"),
        )
    ),
)
XCALLED = AbiEvent(
    "XCalled",
    (
        AbiParam("transferId", "bytes32", indexed=True),
        AbiParam("messageHash", "bytes32", indexed=True),
        INFO,
        AbiParam("messageBody", "bytes"),
    ),
)
EXECUTED = AbiEvent(
    "Executed",
    (
        AbiParam("transferId", "bytes32", indexed=True),
        AbiParam("args", "tuple", components=(INFO, AbiParam("routers", "address[]"))),
    ),
)
RECONCILED = AbiEvent("Reconciled", (AbiParam("transferId", "bytes32", indexed=True),))

BNB_TO_POLYGON = {
    "originDomain": 6450786,
    "destinationDomain": 1886350457,
    "canonicalDomain": 6648936,
    "to": "0x49dE9EC7e35015799724897832C3C75aB78c55B3",
    "delegate": "0x49dE9EC7e35015799724897832C3C75aB78c55B3",
    "receiveLocal": False,
    "callData": b"",
    "slippage": 50,
    "originSender": "0x49dE9EC7e35015799724897832C3C75aB78c55B3",
    "bridgedAmt": 220919091,
    "normalizedIn": 221159783502651317642,
    "nonce": 7018,
    "canonicalId": bytes.fromhex("000000000000000000000000a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"),
}
BNB_TO_POLYGON_ID = bytes.fromhex("d3b48a423a57829f3970b76c4546c9ac67eaa46589f0048eee9e6bf45adab806")
BNB_TO_POLYGON_MESSAGE = bytes.fromhex("4eb5fbeb7052d1bbdb433d319f0440a97d6a6bdfc0c6a62657bf1297cbb39273")
GNOSIS_TO_ETHEREUM = {
    "originDomain": 6778479,
    "destinationDomain": 6648936,
    "canonicalDomain": 6648936,
    "to": "0x6d2A06543D23Cc6523AE5046adD8bb60817E0a94",
    "delegate": "0x6d2A06543D23Cc6523AE5046adD8bb60817E0a94",
    "receiveLocal": False,
    "callData": b"",
    "slippage": 300,
    "originSender": "0x6d2A06543D23Cc6523AE5046adD8bb60817E0a94",
    "bridgedAmt": 99407526243394,
    "normalizedIn": 100000000000000,
    "nonce": 34,
    "canonicalId": bytes.fromhex("000000000000000000000000c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"),
}
GNOSIS_TO_ETHEREUM_ID = bytes.fromhex("4a379d3367bb589ddc00dd7c2d7d6557bed75c9595e5cd6a4369d85e587ec386")
GNOSIS_TO_ETHEREUM_MESSAGE = bytes.fromhex("327618edf7bab0e7c6b97ecee50ad6572e9c069a85db3083c942e0c0ddc469b7")


def bound(name: str, event: AbiEvent) -> Verify:
    return CHECKS[name].bind(event)


@pytest.mark.parametrize(
    ("info", "transfer_id"),
    [
        pytest.param(BNB_TO_POLYGON, BNB_TO_POLYGON_ID, id="bnb to polygon"),
        pytest.param(GNOSIS_TO_ETHEREUM, GNOSIS_TO_ETHEREUM_ID, id="gnosis to ethereum"),
    ],
)
def test_a_real_transfer_id_is_the_hash_of_its_params(info: dict[str, Any], transfer_id: bytes) -> None:
    assert bound("connext.transfer_id", XCALLED)({"transferId": transfer_id, "params": info}) is None
    executed = {"transferId": transfer_id, "args": {"params": info, "routers": []}}
    assert bound("connext.transfer_id", EXECUTED)(executed) is None


@pytest.mark.parametrize(
    ("body", "transfer_id", "message_hash"),
    [
        pytest.param(
            "00626e62000000000000000000000000cd401c10afa37d641d2f594852da94c700e4f2ce00000937706f6c79"
            "00000000000000000000000011984dc4465481512eb5b777e44061c158cf225900657468"
            "000000000000000000000000a0b86991c6218b36c1d19d4a2e9eb0ce3606eb4803"
            "000000000000000000000000000000000000000000000000000000000d2af533",
            BNB_TO_POLYGON_ID,
            BNB_TO_POLYGON_MESSAGE,
            id="bnb to polygon",
        ),
        pytest.param(
            "00676e6f0000000000000000000000005bb83e95f63217cda6ae3d181ba580ef377d21090000000400657468"
            "0000000000000000000000008898b472c54c31894e3b9bb83cea802a5d0e63c600657468"
            "000000000000000000000000c02aaa39b223fe8d0a0e5c4f27ead9083c756cc203"
            "00000000000000000000000000000000000000000000000000005a691e4a2c42",
            GNOSIS_TO_ETHEREUM_ID,
            GNOSIS_TO_ETHEREUM_MESSAGE,
            id="gnosis to ethereum",
        ),
    ],
)
def test_a_real_message_hash_is_the_hash_of_its_body(
    body: str, transfer_id: bytes, message_hash: bytes
) -> None:
    message = bytes.fromhex(body) + transfer_id
    verify = bound("connext.message_hash", XCALLED)
    assert verify({"messageHash": message_hash, "messageBody": message}) is None
    assert verify({"messageHash": message_hash, "messageBody": message[:-1]}) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"originDomain": 6450787},
        {"destinationDomain": 1886350458},
        {"canonicalDomain": 6648937},
        {"to": GNOSIS_TO_ETHEREUM["to"]},
        {"delegate": GNOSIS_TO_ETHEREUM["to"]},
        {"receiveLocal": True},
        {"callData": b"\x00"},
        {"slippage": 51},
        {"originSender": GNOSIS_TO_ETHEREUM["to"]},
        {"bridgedAmt": 220919092},
        {"normalizedIn": 221159783502651317643},
        {"nonce": 7019},
        {"canonicalId": GNOSIS_TO_ETHEREUM["canonicalId"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_any_field_is_seen(change: dict[str, Any]) -> None:
    args = {"transferId": BNB_TO_POLYGON_ID, "params": BNB_TO_POLYGON | change}
    assert bound("connext.transfer_id", XCALLED)(args) is not None


def test_a_mismatch_names_what_was_expected_and_what_was_found() -> None:
    args = {"transferId": bytes(32), "args": {"params": BNB_TO_POLYGON, "routers": []}}
    assert bound("connext.transfer_id", EXECUTED)(args) == (
        "transferId is not keccak256(abi.encode(args.params)): "
        f"expected 0x{BNB_TO_POLYGON_ID.hex()}, got 0x{'00' * 32}"
    )


@pytest.mark.parametrize("name", list(CHECKS))
def test_an_event_without_the_fields_is_refused_and_reported_which(name: str) -> None:
    with pytest.raises(
        CheckError, match=rf"{name} cannot check Reconciled\(bytes32\): it needs .*\(bytes32\) and"
    ):
        CHECKS[name].bind(RECONCILED)


def test_params_of_another_shape_are_refused() -> None:
    shorter = AbiParam("params", "tuple", components=INFO.components[:-1])
    event = AbiEvent("XCalled", (AbiParam("transferId", "bytes32", indexed=True), shorter))
    with pytest.raises(CheckError, match="transfer_id cannot check"):
        CHECKS["connext.transfer_id"].bind(event)


uint32 = st.integers(0, 2**32 - 1)
uint256 = st.integers(0, 2**256 - 1)
addresses = st.binary(min_size=20, max_size=20).map(checksum_address)


@pytest.mark.slow
@given(
    st.fixed_dictionaries(
        {
            "originDomain": uint32,
            "destinationDomain": uint32,
            "canonicalDomain": uint32,
            "to": addresses,
            "delegate": addresses,
            "receiveLocal": st.booleans(),
            "callData": st.binary(max_size=100),
            "slippage": uint256,
            "originSender": addresses,
            "bridgedAmt": uint256,
            "normalizedIn": uint256,
            "nonce": uint256,
            "canonicalId": st.binary(min_size=32, max_size=32),
        }
    )
)
def test_transfer_info_is_encoded_as_eth_abi_does(info: dict[str, Any]) -> None:
    expected = encode([INFO.canonical_type], [tuple(info[component.name] for component in INFO.components)])
    assert encode_transfer_info(info) == expected
    args = {"transferId": keccak256(expected), "params": info}
    assert bound("connext.transfer_id", XCALLED)(args) is None
