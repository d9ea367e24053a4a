"""Nesting that would end the process is seen before anything is parsed."""

import pytest

from chainwatch.support.nesting import DEEPEST, is_too_deep


@pytest.mark.parametrize(
    ("json", "too_deep"),
    [
        (b"", False),
        (b"[]{}" * 10_000, False),
        (b"[" * DEEPEST + b"]" * DEEPEST, False),
        (b"[" * (DEEPEST + 1), True),
        (b'{"a":[' * 100_000, True),
        (b"]" * 100_000 + b"[", False),
        (b'{"a": "\xff"}', False),
    ],
)
def test_only_what_no_service_says_is_too_deep(json: bytes, too_deep: bool) -> None:
    assert is_too_deep(json) is too_deep
