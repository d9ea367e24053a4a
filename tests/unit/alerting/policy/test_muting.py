"""The stages that hold alerts back, one by one and in their order, from tables."""

from typing import Any

import msgspec
import pytest

from chainwatch.alert_model import Acknowledgement, Silence
from chainwatch.alerting.policy import muting
from chainwatch.alerting.policy.intervals import Interval
from chainwatch.alerting.policy.muting import Candidate, Context, Cooldown, Inhibition
from chainwatch.alerting.policy.routing import Route
from chainwatch.alerting.policy.silences import first_silences
from chainwatch.grammar import matchers

NOON = 1_700_000_000.0 // 86_400 * 86_400 + 12 * 3600
LABELS = {"alertname": "TransferOverdue", "severity": "P1", "destination": "x"}
ROUTE = Route(key="r", match=(), receivers=("ops",))
ONE = Candidate(7, LABELS, ROUTE, "ops")
INTERVALS = {"day": Interval("UTC", ((600, 1080),)), "night": Interval("UTC", ((1320, 420),))}


def build(**match: str) -> matchers.Matchers:
    return matchers.build({name: [value] for name, value in match.items()})


def silenced(start: float, end: float, **more: Any) -> dict[int, Silence]:
    one = Silence({"severity": ["P1"]}, NOON + start, NOON + end, "ann", "upgrade", NOON, id=3, **more)
    return first_silences({7: LABELS}, [one], INTERVALS, NOON)


def why(one: Candidate, **known: Any) -> str | None:
    held = muting.suppression_of(one, Context(now=NOON, intervals=INTERVALS, **known))
    return None if held is None else f"{held.reason}: {held.detail}"


def routed(**fields: Any) -> Candidate:
    return msgspec.structs.replace(ONE, route=msgspec.structs.replace(ROUTE, **fields))


def test_an_alert_that_nothing_holds_back_is_reported() -> None:
    assert why(ONE) is None


@pytest.mark.parametrize(
    ("start", "end", "during", "held"),
    [
        (-10, 10, (), True),
        (0, 10, (), True),
        (-10, 0, (), False),
        (5, 10, (), False),
        (-10, 10, ("day",), True),
        (-10, 10, ("night",), False),
        (-10, 10, ("gone",), False),
    ],
)
def test_a_silence_holds_from_its_start_to_its_end(
    start: float, end: float, during: tuple[str, ...], held: bool
) -> None:
    wanted = "silenced: by silence 3 of ann: upgrade" if held else None
    assert why(ONE, silences=silenced(start, end, during=during)) == wanted


RULE = Inhibition(
    build(alertname="NetworkBlind"), build(alertname="TransferOverdue"), (("network", "destination"),)
)


@pytest.mark.parametrize(
    ("firing", "held"),
    [
        ([{"alertname": "NetworkBlind", "network": "x"}], "inhibited: by NetworkBlind (network=x)"),
        ([{"alertname": "NetworkBlind", "network": "y"}], None),
        ([{"alertname": "NetworkStalled", "network": "x"}], None),
        ([], None),
    ],
)
def test_an_inhibition_holds_what_shares_its_labels(firing: list[dict[str, str]], held: str | None) -> None:
    assert why(ONE, inhibitions=[RULE], firing=firing) == held


def test_an_alert_does_not_inhibit_itself() -> None:
    rule = Inhibition(build(severity="P1"), build(severity="P1"), ())
    assert why(ONE, inhibitions=[rule], firing=[LABELS]) is None


@pytest.mark.parametrize(
    ("fields", "severity", "held"),
    [
        ({"mute_times": ("day",)}, "P1", "quiet hours: within day"),
        ({"mute_times": ("night",)}, "P1", None),
        ({"active_times": ("night",)}, "P1", "quiet hours: outside night"),
        ({"active_times": ("night", "day")}, "P1", None),
        ({"mute_times": ("day",)}, "P0", None),
        ({"mute_times": ("day",), "mute_critical": True}, "P0", "quiet hours: within day"),
    ],
)
def test_quiet_hours_hold_all_but_p0(fields: dict[str, Any], severity: str, held: str | None) -> None:
    one = msgspec.structs.replace(routed(**fields), labels={**LABELS, "severity": severity})
    assert why(one) == held


def test_an_acknowledged_alert_is_held_but_for_its_reminder() -> None:
    taken = {7: Acknowledgement(7, "ann", NOON, "mine", None, "P1", NOON)}
    assert why(ONE, acknowledgements=taken) == "acknowledged: by ann: mine"
    assert why(msgspec.structs.replace(ONE, notified=True, again=True), acknowledgements=taken) is None


@pytest.mark.parametrize(
    ("ago", "by", "held"), [(59, ("...",), True), (60, ("...",), False), (59, ("flow",), True)]
)
def test_a_cooldown_holds_the_same_condition_for_its_time(
    ago: float, by: tuple[str, ...], held: bool
) -> None:
    cooldown = Cooldown(build(alertname="TransferOverdue"), by, 60.0)
    notified_at = {("ops", cooldown.condition(LABELS)): NOON - ago}
    assert (why(ONE, cooldowns=[cooldown], notified_at=notified_at) is not None) is held
    assert (
        why(msgspec.structs.replace(ONE, receiver="other"), cooldowns=[cooldown], notified_at=notified_at)
        is None
    )


def test_the_first_stage_that_holds_says_why() -> None:
    taken = {7: Acknowledgement(7, "ann", NOON, "", None, "P1", NOON)}
    said = why(routed(mute_times=("day",)), acknowledgements=taken, silences=silenced(-1, 1))
    assert said is not None
    assert said.startswith("silenced")
