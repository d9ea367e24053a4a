"""How providers refuse: what their wordings mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chainwatch.chain.limits import LimitHint, range_hint, rate_limited, unknown_block

# from ponder-sh/ponder (MIT), see tests/data/rpc/SOURCE
WORDINGS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "data/rpc/getlogs-limits.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize(
    "entry", WORDINGS, ids=lambda entry: f"{entry['provider']}: {entry['message_contains'][0]}"
)
def test_every_known_wording_says_that_the_range_is_too_wide(entry: dict[str, list[str]]) -> None:
    message = entry["message_contains"][0]
    assert range_hint(-32000, message) is not None
    assert not rate_limited(-32000, message)


@pytest.mark.parametrize(
    ("message", "blocks"),
    [
        ("eth_getLogs is limited to a 1000 blocks range", 1000),
        ("maximum [from, to] blocks distance: 10000", 10_000),
        ("up to a 2000 block range", 2000),
        ("maximum is set to 2048", 2048),
        ("eth_getLogs is limited to a 10,000 range", 10_000),
        ("eth_getLogs is limited to 1024 block range", 1024),
        ("Max range: 800", 800),
        ("please limit the query to at most 1000 blocks", 1000),
        ("query must be smaller than size 1024", 1024),
        ("query exceeds max block range 50", 50),
        ("eth_getLogs range is too large, max is 10k blocks", 10_000),
        ("eth_getLogs range is too large, max is 1k blocks", 1000),
        ("block range is too wide (maximum 1024)", 1024),
        ("exceed maximum block range: 50000", 50_000),
        ("block range exceeds 1000", 1000),
        ("block range greater than 1000 max", 1000),
        ("Maximum allowed number of requested blocks is 1000", 1000),
        ("a block range of 5000 is over the maximum of 2000", 2000),
    ],
)
def test_a_named_number_of_blocks_is_a_limit_on_every_range(message: str, blocks: int) -> None:
    assert range_hint(-32000, message) == LimitHint(blocks, structural=True)


@pytest.mark.parametrize(
    ("message", "blocks"),
    [
        ("Log response size exceeded. this block range should work: [0x112a880, 0x112a8c2]", 67),
        ("query returned more than 10000 results. Try with this block range [0x112a880, 0x112a908].", 137),
        ("query exceeds max results 20000, retry with the range 16777216-16777500", 285),
    ],
)
def test_a_named_range_fits_this_question_only(message: str, blocks: int) -> None:
    assert range_hint(-32005, message) == LimitHint(blocks, structural=False)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("exceeds maximum block range of 1,024", LimitHint(1024, structural=True)),
        ("block range of 1_000 is the limit", LimitHint(1000, structural=True)),
        ("retry with the range 1,000,000 to 1,000,999", LimitHint(1000, structural=False)),
        ("block range 010 to 011", LimitHint(2, structural=False)),
        ("block range 9-8", LimitHint(9, structural=True)),
        ("block range 0x-0x, max range: 00", LimitHint(None, structural=False)),
        (f"block range {'9' * 5000} to {'9' * 5001}", LimitHint(None, structural=False)),
        (f"range 0x{'f' * 5000}-0x{'f' * 5001}, max range {'9' * 30}", LimitHint(None, structural=False)),
        ("block range ١٠ to ١١", LimitHint(2, structural=False)),
        ("block range ²", LimitHint(None, structural=False)),
        ("block range ,,,1,,,", LimitHint(1, structural=True)),
    ],
)
def test_numbers_in_any_writing_are_understood_or_passed_over(message: str, hint: LimitHint) -> None:
    assert range_hint(-32005, message) == hint


@pytest.mark.parametrize(
    "message",
    [
        "query exceeds max results 20000",
        "logs matched by query exceeds limit of 10000",
        "Block range limit exceeded.",
    ],
)
def test_without_a_number_of_blocks_it_is_to_be_halved(message: str) -> None:
    assert range_hint(-32000, message) == LimitHint(None, structural=False)


@pytest.mark.parametrize("code", [-32602, -32005])
def test_two_codes_mean_it_in_any_wording(code: int) -> None:
    assert range_hint(code, "nope") == LimitHint(None, structural=False)
    assert range_hint(-32603, "nope") is None


@pytest.mark.parametrize(
    "message",
    [
        "daily request count exceeded, request rate limited",
        "Too Many Requests",
        "Your app has exceeded its compute units per second capacity",
        "monthly quota reached",
    ],
)
def test_too_many_questions_are_not_too_wide_a_range(message: str) -> None:
    assert rate_limited(-32005, message)
    assert range_hint(-32005, message) is None


def test_an_unknown_block_is_reported_apart() -> None:
    assert unknown_block("unknown block")
    assert unknown_block("header not found")
    assert not unknown_block("eth_getLogs is limited to a 1000 blocks range")
