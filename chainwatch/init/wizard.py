"""Writes a commented configuration from the answers, with the ABI files that it needs beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainwatch.init.answers import Answers, InitError
from chainwatch.init.presets import PRESETS, abi_text
from chainwatch.init.text import doubt, variables, write_config
from chainwatch.support.private_files import write_private


@dataclass(frozen=True)
class Created:
    """The files that `create` wrote or kept.

    ``variables``: the environment variables to set before the start. ``explanation``: what the preset sees and what
    it cannot, or what is unsure of a proposed flow, as paragraphs.
    """

    config: Path
    abis_written: tuple[Path, ...]
    abis_kept: tuple[Path, ...]
    variables: tuple[str, ...]
    explanation: tuple[str, ...]


def create(answers: Answers, path: Path, force: bool = False) -> Created:
    """Write the configuration to ``path``, and beside it the ABI files that do not exist yet.

    Raises `InitError` when ``path`` exists, unless ``force``, and when a file cannot be written.
    """
    if path.exists() and not force:
        raise InitError(f"{path} exists already: name another file, or overwrite it with --force")
    preset = PRESETS.get(answers.preset)
    abis = preset.abis if preset else _proposed_abis(answers)
    files = {path.parent / "abi" / f"{name}.json": abi_text(name) for name in abis}
    missing = {file: text for file, text in files.items() if not file.exists()}
    config = write_config(answers)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, text in missing.items():
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        write_private(path, config)  # it may hold keys
    except OSError as error:
        raise InitError(f"{error.filename or path} cannot be written: {error.strerror}") from error
    kept = tuple(file for file in files if file not in missing)
    unsure = answers.proposal.unsure if answers.proposal else ()
    explanation = preset.explanation() if preset else tuple(doubt(text) for text in unsure)
    return Created(path, tuple(missing), kept, variables(answers), explanation)


def _proposed_abis(answers: Answers) -> tuple[str, ...]:
    """Return the ABIs of presets that a proposed flow uses: those of contracts for which no file was given."""
    if answers.proposal is None or answers.transfer is None or answers.transfer.abis:
        return ()
    return tuple(contract.name for contract in answers.proposal.contracts)
