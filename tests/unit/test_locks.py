"""What is installed is what was tested with: versions and hashes of everything that pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
EXTRAS = {"postgres": {"postgres"}, "dev": {"postgres", "dev"}}


def locked(extra: str) -> dict[str, tuple[str, int]]:
    """Name → version and number of hashes."""
    text = (ROOT / "requirements" / f"{extra}.lock").read_text()
    blocks = re.split(r"^(?=[A-Za-z])", text, flags=re.MULTILINE)[1:]
    found: dict[str, tuple[str, int]] = {}
    for block in blocks:
        named = re.match(r"([\w.-]+)==(\S+)", block)
        assert named is not None, block
        found[canonicalize_name(named[1])] = named[2], len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block))
    return found


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_lock_holds_what_is_asked_for_in_versions_that_fit(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = list(project["project"]["dependencies"]) + list(project["build-system"]["requires"])
    for name in EXTRAS[extra]:
        asked += project["project"]["optional-dependencies"][name]
    found = locked(extra)
    for requirement in map(Requirement, asked):
        if requirement.name != "chainwatch":
            version, hashes = found[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version, prereleases=True), requirement
            assert hashes > 0


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_lock_has_the_versions_of_the_constraints_and_hashes_of_all(extra: str) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    constraints = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned: dict[str, str] = {canonicalize_name(name): version for name, version in constraints.items()}
    for name, (version, hashes) in locked(extra).items():
        assert hashes > 0, name
        assert pinned.get(name, version) == version, f"{name}: run scripts/lock"
