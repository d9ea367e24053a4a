"""Contracts are taken out of the very package that was pinned, or not at all."""

from pathlib import Path

import pytest

from tests.support.missing import missing
from tests.support.protocols import artifacts
from tests.support.protocols.artifacts import ArtifactError, bytecodes, load
from tests.support.protocols.cctp import PUBLISHED_V1

NOTHING = "sha512-" + "A" * 86 + "=="


@pytest.fixture(autouse=True)
def fetched() -> None:
    try:
        load(PUBLISHED_V1)
    except ArtifactError as error:
        missing("npm packages", str(error))


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(artifacts, "CACHE", tmp_path)
    return tmp_path


def test_a_package_with_another_hash_is_refused_and_nothing_of_it_kept(empty_cache: Path) -> None:
    with pytest.raises(ArtifactError, match="not the archive that was pinned"):
        load(PUBLISHED_V1._replace(integrity=NOTHING))
    assert not list(empty_cache.rglob("*.js"))


@pytest.mark.usefixtures("empty_cache")
def test_a_package_without_the_file_says_so() -> None:
    with pytest.raises(ArtifactError, match=r"@6\.1\.5 lacks package/not-there\.json"):
        load(PUBLISHED_V1._replace(files=("not-there.json",)))


@pytest.mark.usefixtures("empty_cache")
def test_a_version_that_does_not_exist_says_so() -> None:
    with pytest.raises(ArtifactError, match=r"could not fetch @wormhole-foundation/sdk-evm-cctp@0\.0\.99"):
        load(PUBLISHED_V1._replace(version="0.0.99"))


def test_an_interface_has_no_bytecode() -> None:
    with pytest.raises(ArtifactError, match="no bytecode"):
        bytecodes(PUBLISHED_V1)
