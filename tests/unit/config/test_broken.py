"""Every broken configuration in tests/data/broken_configs is refused, at its line and in the right words."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from chainwatch.config import ConfigError, from_dict, load

FOLDER = Path(__file__).parents[2] / "data" / "broken_configs"
FILES = sorted(FOLDER.glob("*.toml"))

ENVIRON = {
    "RPC_URL": "wss://rpc.example.org/v3/S3CR3T",
    "DISCORD_WEBHOOK_URL": "https://discord.example.org/api/webhooks/1/S3CR3T",
    "TOKEN": "xoxb-S3CR3T",
    "EMPTY": "",
}


def expected_words(text: str) -> list[tuple[int, list[str]]]:
    """(line, words) of each ``#! words & words`` in a broken configuration."""
    marks = ((number, line.partition("#! ")[2]) for number, line in enumerate(text.splitlines(), 1))
    return [(number, words.split(" & ")) for number, words in marks if words]


def refusal(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path, ENVIRON)
    return caught.value


def test_there_are_thirty_broken_configurations_and_more() -> None:
    assert len(FILES) >= 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_broken_configuration_is_refused_at_its_line_in_the_right_words(path: Path) -> None:
    lines = str(refusal(path)).splitlines()
    expected = expected_words(path.read_text())
    assert len(lines) == len(expected)
    for number, words in expected:
        notified = [line for line in lines if line.startswith(f"{path}:{number}: ")]
        assert any(all(word in line for word in words) for line in notified), (number, words, lines)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_s9_no_error_about_a_broken_configuration_reports_a_secret(path: Path) -> None:
    error = refusal(path)
    notified = [str(error), repr(error), repr(error.problems), *traceback.format_exception(error)]
    assert not [text for text in notified if "S3CR3T" in text]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_problems_are_reported_in_the_order_of_the_file(path: Path) -> None:
    numbers = [problem.line for problem in refusal(path).problems]
    assert numbers == sorted(numbers)


def test_a_missing_file_is_reported_with_how_to_get_one(tmp_path: Path) -> None:
    assert re.search(
        r"nothing\.toml: there is no such file — .*init", str(refusal(tmp_path / "nothing.toml"))
    )


def test_a_directory_is_reported(tmp_path: Path) -> None:
    assert "this is a directory" in str(refusal(tmp_path))


def test_a_file_that_is_not_utf_8_is_reported_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"[log]\n# caf\xe9\n")
    assert "byte 11 is not UTF-8" in str(refusal(path))


def test_a_file_that_may_not_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert "cannot be read: Permission denied" in str(refusal(tmp_path / "config.toml"))


def test_an_empty_file_is_reported_at_line_1(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("")
    assert f"{path}:1: networks: no networks" in str(refusal(path))


@pytest.mark.parametrize("value", ["[" * 5000, "1" * 5000, "{" * 500], ids=["brackets", "digits", "braces"])
def test_absurd_sizes_are_errors_like_any_other(tmp_path: Path, value: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"a = {value}\n")
    assert "not valid TOML" in str(refusal(path))


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["list", "dict"])
@pytest.mark.parametrize("key", ["routes", "receivers", "inhibit"])
def test_a_dict_nested_too_deep_is_an_error_like_any_other(
    key: str, wrap: Callable[[object], object]
) -> None:
    value: object = 1
    for _ in range(50_000):
        value = wrap(value)
    with pytest.raises(ConfigError, match="nested too deep"):
        from_dict({key: value})


def test_a_dict_within_itself_is_an_error_like_any_other() -> None:
    data: dict[str, object] = {}
    data["routes"] = [data]
    with pytest.raises(ConfigError, match="within itself"):
        from_dict(data)
