"""JSON lines on the disk: whole ones only, rotated by size."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from chainwatch.alerting.providers import DeliveryError, Transport, build_provider
from chainwatch.alerting.providers.file import FileProvider, FileSettings, append
from chainwatch.config import from_dict
from tests.unit.alerting.helpers import notification


def _provider(path: Path, **settings: Any) -> FileProvider:
    table = {"name": "log", "provider": "file", "path": path, **settings}
    built = build_provider(FileSettings.model_validate(table), Transport())
    assert isinstance(built, FileProvider)
    return built


async def test_each_notification_is_one_line(tmp_path: Path) -> None:
    provider = _provider(tmp_path / "alerts.jsonl")
    for key in ("a", "b"):
        await provider.send(provider.render(notification(idempotency_key=key), None))
    first, second = map(json.loads, (tmp_path / "alerts.jsonl").read_text().splitlines())
    assert (first["idempotencyKey"], second["idempotencyKey"]) == ("a", "b")
    assert (first["version"], first["alerts"][0]["labels"]["alertname"]) == ("4", "TransferOverdue")
    assert first["time"].endswith("Z")
    assert (tmp_path / "alerts.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_full_is_renamed_and_only_some_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for number in range(10):
        append(path, b"%d" % number * 9 + b"\n", max_bytes=20, keep=2)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        "x": "888888888\n999999999\n",
        "x.1": "666666666\n777777777\n",
        "x.2": "444444444\n555555555\n",
    }


def test_a_line_longer_than_the_limit_is_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for line in (b"a\n", b"b" * 99 + b"\n", b"c\n"):
        append(path, line, max_bytes=20, keep=5)
    assert [p.read_bytes()[:1] for p in (tmp_path / "x.2", tmp_path / "x.1", path)] == [b"a", b"b", b"c"]


def test_a_line_that_a_crash_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b'{"cut')
    append(path, b"{}\n", max_bytes=1000, keep=1)
    assert path.read_bytes() == b'{"cut\n{}\n'


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    append(path, b"first\n", max_bytes=1000, keep=1)
    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        if len(content) < 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[:3])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="space"):
        append(path, b"second\n", max_bytes=1000, keep=1)
    assert path.read_bytes() == b"first\n"


def test_only_a_file_is_renamed_or_written(tmp_path: Path) -> None:
    folder = tmp_path / "alerts"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number:0200}").touch()  # a folder has a size of its own
    with pytest.raises(IsADirectoryError):
        append(folder, b"{}\n", 1024, 2)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="not a regular file"):
        append(tmp_path / "pipe", b"{}\n", 1024, 2)
    assert os.read(reader, 10) == b""  # else each attempt would write it again
    os.close(reader)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["alerts", "pipe"]


async def test_a_file_that_cannot_be_written_is_a_failed_delivery(tmp_path: Path) -> None:
    provider = _provider(tmp_path / "no" / "such" / "folder")
    with pytest.raises(DeliveryError) as caught:
        await provider.send(provider.render(notification(), None))
    assert str(caught.value) == "the file cannot be written: no such file or directory"
    assert not caught.value.permanent


def test_the_path_is_relative_to_the_config_files_folder(tmp_path: Path) -> None:
    settings = from_dict(
        {
            "networks": {"n": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
            "receivers": {"log": {"provider": "file", "path": "alerts.jsonl"}},
            "routes": [{"receivers": ["log"]}],
        },
        folder=tmp_path,
    )
    receiver = settings.receivers["log"]
    assert isinstance(receiver, FileSettings)
    assert receiver.path == tmp_path / "alerts.jsonl"
