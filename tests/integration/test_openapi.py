"""The description of the HTTP server is true: a fuzzer that is driven by it finds no answer that it does not allow."""

from pathlib import Path

from tests.support.fuzz_api import fuzz


async def test_every_answer_is_as_described(tmp_path: Path) -> None:
    code, report = await fuzz(
        tmp_path, "--phases=coverage,fuzzing", "--max-examples=2", "--seed=1", "--no-shrink"
    )

    assert code == 0, report
