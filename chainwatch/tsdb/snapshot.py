"""Series as they were at one moment, for an evaluation that may take long while samples are appended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainwatch.promql.series import Series
from chainwatch.tsdb.index import Matchers
from chainwatch.tsdb.stored import ChunkedSeries, State, StoredSeries

Selections = Mapping[int, tuple[Matchers, Sequence[StoredSeries]]]
"""Matchers with the series that pass, by the ``id`` of the matchers, which are hashed slowly."""


class Snapshot:
    """The ``Source`` of one evaluation; it selects by the very tuples of ``selections``."""

    def __init__(self, selections: Selections, states: Mapping[StoredSeries, State]) -> None:
        frozen = {series: ChunkedSeries.of_state(series.labels, state) for series, state in states.items()}
        self._matchers = [matchers for matchers, _ in selections.values()]  # so that no other has its id
        self._selected: dict[int, Sequence[Series]] = {
            key: [frozen[series] for series in found] for key, (_, found) in selections.items()
        }

    def select(self, matchers: Matchers) -> Sequence[Series]:
        """Return the series that pass all matchers."""
        return self._selected[id(matchers)]
