"""Signals → alerts → groups → notifications, in the transaction of whatever caused the signals (S2).

The manager keeps nothing: alerts, groups, and what each receiver was told are rows, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alerting.lifecycle import fingerprint, normal_labels, transition
from chainwatch.alerting.policy import grouping
from chainwatch.alerting.policy.routing import Route, build_routes, destinations, group_key, is_watchdog
from chainwatch.config import RouteSettings
from chainwatch.model import Signal
from chainwatch.store import alert_groups, outbox
from chainwatch.store import alerts as stored
from chainwatch.store.alert_groups import Group
from chainwatch.store.alerts import Alert, Audience

FLUSH_PAGE = 500
"""How many groups are flushed at a time."""
NEVER = 10 * 365 * 86_400.0
"""Seconds between repeats of a group whose route is gone from the config: it only tells what is still owed."""

_GONE = Route(key="", match={}, receivers=(), repeat_interval=NEVER)


class AlertManager:
    """What turns signals into what people are told.

    ``routes`` in the config's order. ``send_resolved``: receiver → whether it hears of ends; a route may say
    otherwise, and what is queued for a receiver that is gone from the config holds them too. Alerts that ended by
    ``told_since`` (Unix seconds: when this database was made) are recorded and told to nobody.
    """

    def __init__(
        self, routes: Sequence[RouteSettings], send_resolved: Mapping[str, bool], told_since: int
    ) -> None:
        self._routes = build_routes(routes)
        self._by_key = {route.key: route for route in self._routes}
        self._send_resolved = dict(send_resolved)
        self._told_since = told_since

    def apply(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> float | None:
        """Let ``signals`` change alerts, and flush the groups that are due; when the next flush is due.

        ``now`` is Unix seconds. Raises ``ValueError`` for labels without ``alertname`` or with an unknown severity.
        """
        if signals:
            new, changed, ended = self._transitions(connection, signals, now)
            stored.update(connection, changed)  # first: one episode ends before the next of its kind begins
            stored.insert(connection, new)
            self._wake_groups_of(connection, ended, now)
            self._join_groups(connection, new, now)
        return self.flush(connection, now)

    def flush(self, connection: sa.Connection, now: float) -> float | None:
        """Queue the notifications of every group that is due at ``now``; when the next flush is due, None for never."""
        while groups := alert_groups.due(connection, now, FLUSH_PAGE):
            self._flush_groups(connection, groups, now)
        return alert_groups.next_flush(connection)

    def reroute(self, connection: sa.Connection, now: float) -> float | None:
        """Let firing alerts follow the configured routes, which may have changed since they were raised: call it at start.

        Groups of routes that are gone stay until they have told what they owe. Alerts about receivers that are gone
        end. Returns when the next flush is due.
        """
        gone: list[Signal] = []
        page: list[Alert] = []
        for alert in stored.firing(connection):
            page.append(alert)
            if len(page) == FLUSH_PAGE:
                self._reroute_page(connection, page, now)
                page = []
            if alert.name == "ReceiverFailing" and alert.labels.get("receiver") not in self._send_resolved:
                gone.append(
                    Signal(alert.labels, alert.starts_at, ends_at=int(now), reason="receiver removed")
                )
        self._reroute_page(connection, page, now)
        return self.apply(connection, gone, now)

    def _reroute_page(self, connection: sa.Connection, page: Sequence[Alert], now: float) -> None:
        moved: dict[Audience, list[int]] = {}
        for alert in page:
            audience = self._audience(alert)
            if audience != alert.audience:
                moved.setdefault(audience, []).append(alert.id)
        for audience, ids in moved.items():
            stored.set_audience(connection, audience, ids)
        self._join_groups(connection, page, now)

    def _transitions(
        self, connection: sa.Connection, signals: Sequence[Signal], now: float
    ) -> tuple[list[Alert], list[Alert], list[int]]:
        """The new alerts, the changed ones, and the ids of those that have ended."""
        normal = [msgspec.structs.replace(s, labels=normal_labels(s.labels)) for s in signals]
        prints = [fingerprint(signal.labels) for signal in normal]
        known = stored.newest(connection, prints)
        next_id = stored.next_id(connection)
        new: dict[int, Alert] = {}
        changed: dict[int, Alert] = {}
        ended: list[int] = []
        for signal, print_ in zip(normal, prints, strict=True):
            before = known.get(print_)
            after = transition(before, signal, now)
            if after is before:
                continue
            after = msgspec.structs.replace(after, audience=self._audience(after))
            if after.id == 0:
                after = msgspec.structs.replace(after, id=next_id)
                next_id += 1
                new[after.id] = after
            elif after.id in new:
                new[after.id] = after
            else:
                if before is not None and before.state != after.state:
                    ended.append(after.id)
                changed[after.id] = after
            known[print_] = after
        return list(new.values()), list(changed.values()), ended

    def _audience(self, alert: Alert) -> Audience:
        if alert.ends_at is not None and alert.ends_at <= self._told_since:
            return "quiet"
        if destinations(self._routes, alert.labels):
            return "routed"
        return "quiet" if is_watchdog(alert.labels) else "unrouted"

    def _wake_groups_of(self, connection: sa.Connection, ended: Sequence[int], now: float) -> None:
        groups = alert_groups.of_alerts(connection, ended)
        alert_groups.update(connection, [self._woken(group, now) for group in groups])

    def _woken(self, group: Group, now: float) -> Group:
        route = self._by_key.get(group.route, _GONE)
        flush_at = grouping.flush_at_change(group, route.group_interval, now)
        return msgspec.structs.replace(group, flush_at=flush_at)

    def _join_groups(self, connection: sa.Connection, new: Iterable[Alert], now: float) -> None:
        """Put alerts into their groups, which are made where they are missing and flushed in time."""
        wanted: dict[tuple[str, str], tuple[Route, dict[str, str], list[int]]] = {}
        for alert in new:
            if alert.audience == "quiet":
                continue
            for route, receiver in destinations(self._routes, alert.labels):
                labels = route.group_labels(alert.labels)
                place = (group_key(route, labels), receiver)
                wanted.setdefault(place, (route, labels, []))[2].append(alert.id)
        if not wanted:
            return
        known = alert_groups.find(connection, sorted({key for key, _ in wanted}))
        next_id = alert_groups.next_id(connection)
        made, woken, joining = [], [], []
        for place, (route, labels, alert_ids) in wanted.items():
            group = known.get(place)
            if group is None:
                group = Group(next_id, *place, route.key, labels, flush_at=now + route.group_wait)
                next_id += 1
                made.append(group)
            else:
                woken.append(self._woken(group, now))
            joining += [(group.id, alert_id) for alert_id in alert_ids]
        alert_groups.insert(connection, made)
        alert_groups.update(connection, woken)
        alert_groups.join(connection, joining)

    def _flush_groups(self, connection: sa.Connection, groups: Sequence[Group], now: float) -> None:
        ids = [group.id for group in groups]
        members = alert_groups.members(connection, ids)
        queue, living, over = [], [], []
        for group in groups:
            inside = members.get(group.id, [])
            route = self._by_key.get(group.route, _GONE)
            told = grouping.messages(
                inside,
                send_resolved=self._tells_ends(route, group.receiver),
                repeat=grouping.is_repeat_due(group, route.repeat_interval, now),
            )
            for message in told:
                payload = outbox.Payload(group.labels, message.firing, message.resolved)
                queue.append((group.receiver, group.key, payload))
            after = grouping.after_flush(
                group,
                group_interval=route.group_interval,
                repeat_interval=route.repeat_interval,
                told=bool(told),
                firing=any(member.state == "firing" for member in inside),
                now=now,
            )
            if after is None:
                over.append(group.id)
            else:
                living.append(after)
        outbox.enqueue(connection, queue, now)
        alert_groups.mark_told(connection, ids)
        alert_groups.update(connection, living)
        alert_groups.delete(connection, over)

    def _tells_ends(self, route: Route, receiver: str) -> bool:
        if route.send_resolved is not None:
            return route.send_resolved
        return self._send_resolved.get(receiver, True)
