"""``info``: adds labels of info metrics, such as ``target_info``, to the elements with the same instance and job."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from chainwatch.promql.errors import EvaluationError
from chainwatch.promql.series import NAME, Labels
from chainwatch.promql.syntax import Call, Matcher, Selector, walk
from chainwatch.promql.vectors import Vector

if TYPE_CHECKING:
    from chainwatch.promql.evaluation import Evaluation

_IDENTIFYING = ("instance", "job")
_Infos = dict[tuple[str, ...], list[Labels]]
"""By the values of the identifying labels, one of each info metric."""


def info_selector(given: Selector | None) -> Selector:
    """Return what selects the info series, of ``target_info`` where ``given`` names no metric."""
    matchers = given.matchers if given is not None else ()
    names = [matcher.operator for matcher in matchers if matcher.name == NAME]
    if not names:
        return Selector((Matcher(NAME, "=", "target_info"), *matchers))
    if "=" not in names and "=~" not in names:
        return Selector((Matcher(NAME, "=~", ".+_info"), *matchers))
    return Selector(tuple(matchers))


def looked_up(call: Call) -> Selector:
    """Return what selects the info series, moved in time as the first selector of what has their labels added."""
    base, selector = call.arguments
    assert isinstance(selector, Selector)
    first = next((node for node in walk(base) if isinstance(node, Selector)), Selector(()))
    return replace(selector, at=first.at, offset=first.offset)


def info(evaluation: Evaluation, call: Call, at: int) -> Vector:
    """Return the elements with the labels of the info series. Raises ``EvaluationError``."""
    base, selector = call.arguments[0], looked_up(call)
    names = [matcher for matcher in selector.matchers if matcher.name == NAME]
    wanted = [matcher for matcher in selector.matchers if matcher.name != NAME]
    elements = evaluation.vector(base, at)
    infos = _infos(evaluation, selector, at, {_identity(labels) for labels, _, _ in elements})
    is_needed = not all(matcher.takes("") for matcher in wanted)
    result: Vector = []
    for labels, value, unnamed in elements:
        if all(matcher.takes(labels.get(NAME)) for matcher in names):
            result.append((labels, value, unnamed))  # an info series itself
            continue
        found = infos.get(_identity(labels), [])
        evaluation.spend(len(found))
        if found or not is_needed:
            result.append((labels.put(_added(labels, found, wanted)), value, unnamed))
    return result


def _infos(evaluation: Evaluation, selector: Selector, at: int, identities: Set[tuple[str, ...]]) -> _Infos:
    """Return the info series of these identities; of several of a metric, the latest."""
    newest: dict[tuple[str, ...], tuple[int, Labels]] = {}
    for labels, time, _ in evaluation.selected(selector, at):
        identity = _identity(labels)
        if identity not in identities:
            continue
        key = (*identity, labels.get(NAME))
        known = newest.get(key)
        if known is not None and known[0] == time:
            raise EvaluationError(f"found duplicate series for info metric: {known[1]!r} and {labels!r}")
        if known is None or known[0] < time:
            newest[key] = time, labels
    infos: _Infos = {}
    for key, (_, labels) in newest.items():
        infos.setdefault(key[:-1], []).append(labels)
    return infos


def _identity(labels: Labels) -> tuple[str, ...]:
    return tuple([labels.get(name) for name in _IDENTIFYING])


def _added(labels: Labels, infos: Sequence[Labels], wanted: Sequence[Matcher]) -> dict[str, str]:
    """Return the labels that the info series add: those that are wanted, or all. Raises ``EvaluationError``."""
    only = {matcher.name for matcher in wanted}
    added: dict[str, str] = {}
    for one in infos:
        for name, value in one.pairs:
            if name == NAME or labels.get(name) or (only and name not in only):
                continue
            if added.setdefault(name, value) != value:
                raise EvaluationError(f"conflicting label: {name}")
    return added
