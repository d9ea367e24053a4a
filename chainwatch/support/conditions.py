"""What holds now, as the signals that begin, change and end: pure, for checks that are repeated.

The caller checks, gets the signals to store from `ConditionSet.changes`, stores them, and then calls
`ConditionSet.commit`. What was not committed is returned again after the next check, so a transaction that is rolled
back loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from chainwatch.model import Signal

RECOVERED = "recovered"

_Labels = tuple[tuple[str, str], ...]


class ConditionSet:
    """The conditions that are reported as firing, identified by their labels.

    ``begin_after`` and ``end_after`` give the seconds for which a condition must have held before it is reported, and
    must have been gone before its end is. ``refresh``: new annotations of a condition that fires are reported too.
    """

    def __init__(
        self,
        firing: Iterable[Signal] = (),
        *,
        begin_after: Callable[[Signal], float] = lambda _: 0.0,
        end_after: Callable[[Signal], float] = lambda _: 0.0,
        refresh: bool = False,
    ) -> None:
        """Restore ``firing`` as `restore` does."""
        self._begin_after = begin_after
        self._end_after = end_after
        self._refresh = refresh
        self._firing: dict[_Labels, Signal] = {}
        self._holds_since: dict[_Labels, float] = {}
        self._gone_since: dict[_Labels, float] = {}
        self.restore(firing)

    @property
    def firing(self) -> Collection[Signal]:
        """The conditions that are reported and have not ended, as they were reported last."""
        return self._firing.values()

    def restore(self, firing: Iterable[Signal]) -> None:
        """Take over conditions that fire by what is stored, from before a restart: they are not reported again."""
        self.commit(firing)

    def changes(
        self,
        current: Iterable[Signal],
        now: float,
        unknown: Callable[[Signal], bool] = lambda _: False,
        reason: str = RECOVERED,
    ) -> list[Signal]:
        """Return the signals to store, given the conditions that hold ``now`` (Unix seconds).

        These begin, change or end conditions. A signal of ``current`` with an end says when and why its condition
        ended; what is missing there ended when it was first missing, for ``reason``. ``unknown`` says of a condition
        that it could not be checked: one that fires goes on firing, another one is not reported, and what must hold or
        be gone for a while is counted from zero.
        """
        found = {_key(signal): signal for signal in current}
        begun = self._begun(found, now, unknown)
        changed = [
            msgspec.structs.replace(signal, starts_at=self._firing[key].starts_at)
            for key, signal in found.items()
            if self._refresh and key in self._firing and _is_changed(self._firing[key], signal)
        ]
        return [*begun, *changed, *self._ended(found, now, unknown, reason)]

    def commit(self, signals: Iterable[Signal]) -> None:
        """Note that ``signals``, which `changes` gave, are stored."""
        for signal in signals:
            if signal.ends_at is None:
                self._firing[_key(signal)] = signal
            else:
                self._firing.pop(_key(signal), None)

    def _begun(
        self, found: Mapping[_Labels, Signal], now: float, unknown: Callable[[Signal], bool]
    ) -> list[Signal]:
        holding = {key: signal for key, signal in found.items() if signal.ends_at is None}
        checked = {key for key, signal in holding.items() if not unknown(signal)}
        self._holds_since = {
            key: self._holds_since.get(key, now) if key in checked else now for key in holding
        }
        return [
            signal
            for key, signal in holding.items()
            if key in checked
            and key not in self._firing
            and now - self._holds_since[key] >= self._begin_after(signal)
        ]

    def _ended(
        self,
        found: Mapping[_Labels, Signal],
        now: float,
        unknown: Callable[[Signal], bool],
        reason: str,
    ) -> list[Signal]:
        gone = {key: one for key, one in self._firing.items() if key not in found and not unknown(one)}
        self._gone_since = {key: self._gone_since.get(key, now) for key in gone}
        ended = [
            _end(one, self._gone_since[key], reason)
            for key, one in gone.items()
            if now - self._gone_since[key] >= self._end_after(one)
        ]
        for key, signal in found.items():
            if signal.ends_at is not None and key in self._firing:
                ended.append(_end(self._firing[key], signal.ends_at, signal.reason))
        return ended


def _is_changed(firing: Signal, signal: Signal) -> bool:
    return signal.ends_at is None and signal.annotations != firing.annotations


def _end(firing: Signal, at: float, reason: str) -> Signal:
    return msgspec.structs.replace(firing, ends_at=max(firing.starts_at, at), reason=reason)


def _key(signal: Signal) -> _Labels:
    return tuple(sorted(signal.labels.items()))
