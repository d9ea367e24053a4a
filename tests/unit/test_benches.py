"""Benches that no other test runs begin at all."""

import tomllib

from chainwatch.config import from_dict
from scripts.bench import memory


def test_the_configuration_of_the_bench_of_memory_is_valid_S10() -> None:
    settings = from_dict(
        tomllib.loads(memory.configuration([["http://127.0.0.1:1"], ["http://127.0.0.1:2"]]))
    )
    assert len(settings.networks) == 2
