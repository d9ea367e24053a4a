"""Routes, from tables."""

import pytest

from chainwatch.alerting.policy.routing import build_routes, destinations, group_key, matching_routes
from tests.unit.alerting.helpers import route

LABELS = {"alertname": "TransferOverdue", "severity": "P1", "destination": "optimism"}


def _receivers(labels: dict[str, str], *routes: object, failing: str = "") -> list[str]:
    taking = matching_routes(build_routes(routes), labels)  # type: ignore[arg-type]  # routes are
    return [receiver for _, receiver in destinations(taking, failing)]


def test_the_first_route_that_matches_takes_the_alert() -> None:
    assert _receivers(LABELS, route("a", match={"severity": "P0"}), route("b"), route("c")) == ["b"]


def test_continue_tries_the_following_routes_too() -> None:
    routes = [route("a", **{"continue": True}), route("b", match={"severity": ["P1", "P2"]}), route("c")]
    assert _receivers(LABELS, *routes) == ["a", "b"]


def test_all_labels_of_a_match_must_have_one_of_their_values() -> None:
    assert _receivers(LABELS, route("a", match={"severity": ["P0", "P1"], "destination": "base"})) == []
    assert _receivers(LABELS, route("a", match={"severity": ["P0", "P1"], "destination": "optimism"})) == [
        "a"
    ]


def test_a_severity_matches_by_either_name() -> None:
    assert _receivers(LABELS, route("a", match={"severity": "high"})) == ["a"]


def test_the_watchdog_goes_only_where_a_route_names_it() -> None:
    watchdog = {"alertname": "Watchdog", "severity": "P3"}
    assert _receivers(watchdog, route("a"), route("b", match={"alertname": "Watchdog"})) == ["b"]


def test_an_alert_about_a_failing_receiver_never_goes_to_that_receiver() -> None:
    failing = {"alertname": "ReceiverFailing", "severity": "P1", "receiver": "a"}
    assert _receivers(failing, route("a", "b"), failing="a") == ["b"]


@pytest.mark.parametrize(
    ("group_by", "labels"),
    [
        (["alertname"], {"alertname": "TransferOverdue"}),
        (
            ["destination", "alertname", "missing"],
            {"alertname": "TransferOverdue", "destination": "optimism"},
        ),
        (["..."], dict(sorted(LABELS.items()))),
        ([], {}),
    ],
)
def test_a_group_has_the_labels_it_is_grouped_by(group_by: list[str], labels: dict[str, str]) -> None:
    (only,) = build_routes([route("a", group_by=group_by)])
    assert only.group_labels(LABELS) == labels


def test_a_group_key_names_the_route_and_the_labels() -> None:
    (only,) = build_routes([route("a", match={"severity": ["P1", "P0"], "flow": 'a"b'})])
    assert group_key(only, {"alertname": "X"}) == '{}/{flow="a\\"b",severity=~"P0|P1"}:{alertname="X"}'


def test_routes_with_equal_matches_keep_groups_of_their_own() -> None:
    one, other = build_routes([route("a", **{"continue": True}), route("b")])
    assert group_key(one, {}) != group_key(other, {})


def test_an_inner_route_is_tried_first_and_lends_what_it_leaves_out() -> None:
    tree = [
        route(
            "a",
            match={"severity": "P1"},
            group_by=["flow"],
            repeat_interval="1h",
            routes=[{"match": {"destination": "optimism"}, "receivers": ["b"], "group_wait": "9s"}],
        ),
        route("c"),
    ]
    (found,) = matching_routes(build_routes(tree), LABELS)
    assert found.receivers == ("b",)
    assert (found.group_by, found.repeat_interval, found.group_wait) == (("flow",), 3600.0, 9.0)
    assert found.key == '{severity="P1"}/{destination="optimism"}'


def test_the_outer_route_takes_what_no_inner_one_does() -> None:
    inner = [{"match": {"destination": "base"}, "receivers": ["b"]}]
    assert _receivers(LABELS, route("a", routes=inner), route("c")) == ["a"]


def test_continue_goes_on_among_the_inner_routes_too() -> None:
    inner = [{"receivers": ["b"], "continue": True}, {"receivers": ["c"]}, {"receivers": ["d"]}]
    assert _receivers(LABELS, route("a", routes=inner), route("e")) == ["b", "c"]


def test_a_digest_is_not_inherited_and_is_one_group() -> None:
    (outer,) = build_routes([route("a", digest="daily 09:00 UTC", routes=[{"match": {"x": "y"}}])])
    assert outer.digest is not None
    assert outer.group_by == ()
    assert outer.routes[0].digest is None


@pytest.mark.parametrize(
    ("wanted", "is_taken"),
    [
        ("TransferOverdue", True),
        ("=TransferOverdue", True),
        ("=~Transfer.*", True),
        ("!=Other", True),
        (["Other", "TransferOverdue"], True),
        ("Other", False),
        ("!=TransferOverdue", False),
    ],
)
def test_an_alertname_is_matched_however_it_is_written(wanted: str | list[str], is_taken: bool) -> None:
    assert bool(_receivers(LABELS, route("a", match={"alertname": wanted}))) is is_taken
