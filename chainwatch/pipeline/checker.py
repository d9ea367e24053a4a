"""What the pipeline asks of a checker.

Flows are one (`chainwatch.flows.checker`); each is named in `chainwatch.registry`. A checker has three parts: its
`Extractor` is pure and finds what it needs in events; a `Checker` lives as long as a configuration; a
`CheckerTransaction` applies what was found within one transaction of the pipeline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec
import sqlalchemy as sa

from chainwatch.chain.pool import Pool
from chainwatch.checker.extractor import Extractor
from chainwatch.config import Settings
from chainwatch.model import Deadline, ReadResult
from chainwatch.pipeline.joined import Joined
from chainwatch.pipeline.unit_of_work import Work

Prints: TypeAlias = dict[str, tuple[str, str]]
"""Name of what is configured (a flow) → the fingerprints of which events it counts, and of all of it."""


def fingerprint(settings: object) -> str:
    """Return a text for `Prints`: the same for the same settings, in whichever order."""
    encoded = msgspec.json.encode(settings, enc_hook=lambda model: model.model_dump(), order="deterministic")
    return sha256(encoded).hexdigest()


CONFIG_CHANGED = "configuration changed"
"""Why an alert ends that the present configuration would not have raised."""


class Page(NamedTuple):
    """A bounded part of a checker's stored state: up to ``limit`` rows with ids above ``after``, of ``names`` only.

    ``names`` are those of `Checker.fingerprints`, those of other checkers among them; None for all.
    """

    names: Sequence[str] | None
    after: int
    limit: int


class Checker(Protocol):
    """One kind of check over what is read from chains.

    What it stores must follow from the set of events and reads alone, not from their order (S3), and be in the database:
    after a restart a new object goes on with it.
    """

    @property
    def extractor(self) -> Extractor:
        """What it watches and finds in events."""

    @property
    def joined(self) -> Joined:
        """The events that it reads together with others of their transaction."""

    def begin(self, work: Work) -> CheckerTransaction:
        """Take part in the transaction whose state is ``work``."""

    # --- what it waits for and reads itself

    def load_deadlines(
        self, connection: sa.Connection, after: tuple[int, int, str], until: int, limit: int
    ) -> list[Deadline]:
        """Return up to ``limit`` open deadlines with (due_at, id, step) > ``after`` and due_at <= ``until``, in order."""

    def load_wanted(self, connection: sa.Connection, network: str, limit: int) -> Any | None:
        """Return what is to be read from ``network`` beyond the watched events, such as state at a block's hash; or None.

        ``limit`` bounds how many questions it holds. What was answered, as by `CheckerTransaction.apply_read`, is not
        wanted again.
        """

    def read(self, pools: Mapping[str, Pool], wanted: Any) -> AsyncIterator[ReadResult]:
        """Read ``wanted``, as `load_wanted` gave it. Raises ``ChainError``; what was yielded before stays."""

    # --- a changed configuration: see `chainwatch.pipeline.recompute`

    def fingerprints(self, settings: Settings) -> Prints:
        """Return the fingerprints of each thing that is configured for this checker, by names unlike other checkers'."""

    def stored_names(self, connection: sa.Connection) -> Sequence[str]:
        """Return the names of `fingerprints` for which something is stored, configured or not."""

    def forget_events(self, connection: sa.Connection, page: Page) -> int | None:
        """Remove the events from ``page``, which are found again later. Returns its last id; None once it is empty."""


class CheckerTransaction(Protocol):
    """A checker within one transaction: adds signals, deadlines and wanted reads to its `Work`.

    ``found`` is always what the checker's extractor found. What is applied may be judged at once or by `settle`.
    """

    def apply(self, found: Any) -> None:
        """Add what was found in blocks that were read. The same may come twice."""

    def apply_read(self, result: ReadResult) -> None:
        """Add what `Checker.read` gave."""

    def roll_back(self, network: str, block: int, found: Any) -> None:
        """Undo what ``network`` had after ``block``: a reorg. ``found`` is what is stored of it; more may be in `apply`."""

    def remove(self, network: str, positions: set[tuple[int, int]], found: Any) -> None:
        """Undo ``found``, the events at ``positions`` (block, log index), which were never in the chain."""

    def settle(self) -> None:
        """Judge and store all that was applied or undone. Checkpoints are stored already."""

    def judge_seen(self, network: str) -> None:
        """Judge what waited for ``network`` to be seen (S5) as far as it is now."""

    def judge_filled(self, network: str) -> None:
        """Judge what waited for earlier blocks of ``network`` to be read again, now that all are."""

    def store_unjudged(self, found: Any, names: Sequence[str]) -> None:
        """Store what of ``found`` belongs to ``names``; `judge_again` follows once all is stored."""

    def judge_again(self, page: Page) -> int | None:
        """Judge ``page`` by the present configuration, and drop what is configured no more.

        Returns its last id; None once it is empty.
        """
