"""An alert's life, from tables."""

import msgspec
import pytest

from chainwatch.alert_model import Alert
from chainwatch.alerting.engine import submission
from chainwatch.alerting.policy import lifecycle
from chainwatch.alerting.policy.lifecycle import fingerprint, normal_labels
from chainwatch.model import Signal
from chainwatch.support.bounds import ANNOTATION_MAX, LABEL_MAX
from tests.unit.alerting.helpers import T0, ends, fires

NOW = T0 + 5.5


def transition(known: Alert | None, signal: Signal, now: float) -> Alert:
    return lifecycle.transition(known, signal, fingerprint(signal.labels), now)


def test_a_condition_that_becomes_true_fires() -> None:
    alert = transition(None, fires(), NOW)
    assert (alert.id, alert.state, alert.starts_at, alert.ends_at, alert.raised_at) == (
        0,
        "firing",
        T0,
        None,
        NOW,
    )
    assert alert.fingerprint == fingerprint(fires().labels)


def test_a_firing_alert_takes_up_new_annotations_and_another_start() -> None:
    known = transition(None, fires(), NOW)
    signal = msgspec.structs.replace(fires(at=T0 - 3), annotations={"summary": "new"})
    after = transition(known, signal, NOW + 9)
    assert (after.starts_at, dict(after.annotations)) == (T0 - 3, {"summary": "new"})
    assert (after.state, after.raised_at) == ("firing", NOW)


def test_the_same_signal_again_changes_nothing_s3() -> None:
    known = transition(None, fires(), NOW)
    assert transition(known, fires(), NOW + 1) is known
    resolved = transition(known, ends(), NOW + 2)
    assert transition(resolved, ends(), NOW + 3) is resolved


def test_an_end_resolves_the_firing_alert_with_its_reason() -> None:
    known = msgspec.structs.replace(transition(None, fires(), NOW), id=7)
    after = transition(known, ends(until=T0 + 60, reason="reorg"), NOW + 70)
    assert (after.id, after.state, after.ends_at, after.reason) == (7, "resolved", T0 + 60, "reorg")
    assert after.resolved_at == NOW + 70


def test_an_end_without_annotations_keeps_the_facts() -> None:
    known = transition(None, fires(), NOW)
    after = transition(known, msgspec.structs.replace(ends(), annotations={}), NOW)
    assert after.annotations == known.annotations


def test_a_second_end_of_the_same_episode_only_corrects_it() -> None:
    resolved = transition(transition(None, fires(), NOW), ends(until=T0 + 60), NOW + 60)
    after = transition(resolved, ends(until=T0 + 90), NOW + 99)
    assert (after.ends_at, after.resolved_at) == (T0 + 90, NOW + 60)


def test_what_came_and_went_unseen_is_an_episode_of_its_own() -> None:
    resolved = msgspec.structs.replace(transition(None, ends(at=T0), NOW), id=7)
    assert resolved.state == "resolved"
    later = transition(resolved, ends(at=T0 + 500, until=T0 + 600), NOW)
    assert (later.id, later.state, later.starts_at) == (0, "resolved", T0 + 500)


def test_a_condition_that_comes_back_is_a_new_episode_even_with_the_same_start() -> None:
    resolved = msgspec.structs.replace(transition(None, ends(), NOW), id=7)
    again = transition(resolved, fires(), NOW + 1)
    assert (again.id, again.state) == (0, "firing")


def test_the_fingerprint_does_not_depend_on_the_order_of_labels() -> None:
    labels = fires(flow="connext").labels
    assert fingerprint(labels) == fingerprint(dict(reversed(list(labels.items()))))
    assert len(fingerprint(labels)) == 16


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": "b"}, {"ab": ""}), ({"a": "bc", "d": ""}, {"a": "b", "cd": ""}), ({}, {"a": ""})],
)
def test_labels_that_differ_have_fingerprints_that_differ(one: dict[str, str], other: dict[str, str]) -> None:
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(("given", "meant"), [("critical", "P0"), ("Warning", "P2"), ("p3", "P3")])
def test_a_severity_may_have_any_of_its_names(given: str, meant: str) -> None:
    assert normal_labels({"alertname": "X", "severity": given})["severity"] == meant


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"severity": "P1"}, "alertname"),
        ({"alertname": "X"}, "None"),
        ({"alertname": "X", "severity": "urgent"}, "urgent"),
    ],
)
def test_labels_that_cannot_be_routed_are_an_error(labels: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        normal_labels(labels)


def test_a_signal_without_annotations_fires_too() -> None:
    assert transition(None, Signal({"alertname": "X", "severity": "P1"}, T0), NOW).annotations == {}


def test_a_label_of_any_size_is_cut_and_its_whole_value_kept_beside() -> None:
    key = "k" * 9_000
    taken = [submission.parse([{"labels": {"alertname": "A", "x": key + end}}])[0] for end in ("1", "2")]
    assert len({one.fingerprint for one in taken}) == 2
    assert all(len(one.labels["x"].encode()) <= LABEL_MAX for one in taken)
    assert [one.annotations["x_whole"] for one in taken] == [key + "1", key + "2"]


def test_annotations_are_cut_too() -> None:
    (one,) = submission.parse(
        [{"labels": {"alertname": "A", "x": "€" * 99_000}, "annotations": {"summary": "€" * 99_000}}]
    )
    assert set(one.annotations) == {"summary", "x_whole"}
    assert all(len(text.encode()) <= ANNOTATION_MAX for text in one.annotations.values())
