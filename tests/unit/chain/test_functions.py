"""Functions of ABIs, by name, by signature, or written out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain.decode.abi import Abi, AbiError, parse_abi
from chainwatch.chain.decode.functions import find_function, parse_function
from chainwatch.model import AbiFunction, AbiParam

PARAM = {"name": "id", "type": "uint256"}


def abi() -> Abi:
    def function(name: str, *inputs: dict[str, str]) -> dict[str, object]:
        return {"type": "function", "name": name, "inputs": list(inputs), "outputs": []}

    entries = [
        function("relay", PARAM),
        function("send", PARAM),
        function("send", PARAM, {"name": "", "type": "bytes"}),
        {"type": "function", "name": "broken", "inputs": [{"name": "x", "type": "uint7"}]},
    ]
    return parse_abi(entries, "bridge.json")


@pytest.mark.parametrize(
    ("text", "signature", "names"),
    [
        ("function f()", "f()", []),
        ("function f(uint256)", "f(uint256)", ["arg0"]),
        ("function f(uint id, address payable to) external payable", "f(uint256,address)", ["id", "to"]),
        ("  function  _f$ ( bytes calldata x ) ; ", "_f$(bytes)", ["x"]),
        ("function f(bytes32[] memory a, uint8[2][] b) view returns (bool, (uint256 x))", None, ["a", "b"]),
        ("function finalize((uint256 nonce, address sender) tx, bytes32[] proof)", None, ["tx", "proof"]),
        ("function f(tuple(uint256 a, (bool b)[] c)[3] calldata t)", "f((uint256,(bool)[])[3])", ["t"]),
        ("function f(uint256 a, uint256 a)", "f(uint256,uint256)", ["a", "a_1"]),
    ],
)
def test_a_function_that_is_written_out(text: str, signature: str | None, names: list[str]) -> None:
    function = parse_function(text)
    assert signature in (None, function.signature)
    assert [param.name for param in function.inputs] == names


def test_tuples_keep_the_names_of_their_members() -> None:
    function = parse_function("function f((uint256 nonce, (address) who) tx)")
    inner = AbiParam("who", "tuple", components=(AbiParam("arg0", "address"),))
    members = (AbiParam("nonce", "uint256"), inner)
    assert function == AbiFunction("f", (AbiParam("tx", "tuple", components=members),))


@pytest.mark.parametrize(
    "text",
    [
        "function f",
        "function (uint256)",
        "function f(",
        "function f(uint256",
        "function f(uint256,)",
        "function f(,uint256)",
        "function f(uint256 a b)",
        "function f(uint7 a)",
        "function f(bogus a)",
        "function f((uint256 a) ",
        "function f(uint256 a) and more",
        "function f(uint256 a)(uint256 b)",
        "function f(mapping(address => uint256) a)",
        "function f(" + "(" * 30 + "uint256" + ")" * 30 + ")",
        "function f(" + "uint256," * 1000 + "uint256)",
    ],
)
def test_what_is_no_function_is_refused(text: str) -> None:
    with pytest.raises(AbiError):
        parse_function(text)


@given(
    st.text(alphabet="()[],; function uint256bytestuple\n\0é", max_size=60).map(lambda t: f"function f{t}")
)
def test_any_text_is_a_function_or_refused(text: str) -> None:
    try:
        function = parse_function(text)
    except AbiError:
        return
    assert find_function(abi(), text) == function


def test_a_function_of_the_abi_by_name_or_signature() -> None:
    assert find_function(abi(), "relay").signature == "relay(uint256)"
    assert find_function(abi(), "send(uint, bytes)").signature == "send(uint256,bytes)"
    assert find_function(abi(), "function other(uint256 x)").name == "other"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("rellay", 'did you mean "relay"'),
        ("send", "ambiguous; name one of send\\(uint256\\), send\\(uint256,bytes\\)"),
        ("send(bytes)", "no function"),
        ("broken", "uint7"),
        ("", "no function"),
    ],
)
def test_a_function_that_the_abi_does_not_have_once_is_refused(named: str, message: str) -> None:
    with pytest.raises(AbiError, match=message):
        find_function(abi(), named)
