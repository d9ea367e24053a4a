"""Which groups read which series, and how far back."""

from chainwatch.promql.parser import parse
from chainwatch.promql.resolving import parse_instant
from chainwatch.promql.series import Labels
from chainwatch.rule_engine.interests import Interests, needs


def test_groups_are_found_by_all_their_matchers() -> None:
    interests = Interests(
        {
            "a": [parse('up{job="x"} == 0')],
            "b": [parse('rate(up{job=~"x|y"}[5m]) > 0'), parse("other")],
            "c": [parse('{job="y"}')],
            "d": [parse('sum by (job) ({__name__=~"u.+"}) > 1')],
            "e": [parse('up{job!="x"}')],
            "f": [parse("vector(time()) > 5")],
        }
    )

    def found(**labels: str) -> set[str]:
        return set(interests.of(Labels(labels)))

    assert found(__name__="up", job="x") == {"a", "b", "d"}
    assert found(__name__="up", job="y") == {"b", "c", "d", "e"}
    assert found(__name__="other") == {"b"}
    assert found(__name__="none") == set()
    assert found(__name__="up", job="x") == {"a", "b", "d"}  # as it is remembered


def test_a_need_is_the_longest_way_back() -> None:
    minute = 60_000

    def furthest(text: str) -> int:
        return max(window for _, window in needs(parse_instant(text)))

    assert furthest("up") == 5 * minute
    assert furthest("up offset 1h") == 65 * minute
    assert furthest("max_over_time((up offset 1h)[1h:1m])") == 125 * minute
    assert furthest("rate(up[10m])") == 15 * minute
    assert furthest("rate(up[10m] offset 1h)") == 75 * minute
    assert furthest("max_over_time(rate(up[10m])[1h:1m] offset 2h)") == (10 + 60 + 120 + 5) * minute
    assert furthest("up offset -1h") == 5 * minute
    assert furthest("rate(up[10m] anchored)") == 15 * minute
    assert furthest("rate(up[max_of(2 * step(), 10m)] offset (1h + range()))") == 75 * minute


def test_info_metrics_are_needed_as_far_back_as_what_has_their_labels_added() -> None:
    windows = [window for _, window in needs(parse("max_over_time(info(rate(up[1m] offset 2h))[1h:])"))]
    assert windows == [186 * 60_000, 185 * 60_000]
