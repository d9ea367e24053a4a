"""Operators, the functions of Prometheus 3 that take floats with their arguments' types, and those that are refused."""

from __future__ import annotations

from typing import Literal, NamedTuple

from chainwatch.promql.syntax import Binary, Call, Negation, Node, Number, RangeSelector, Subquery, Text

Type = Literal["instant vector", "range vector", "scalar", "string"]
VECTOR: Type = "instant vector"
RANGE: Type = "range vector"
SCALAR: Type = "scalar"
TEXT: Type = "string"

COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
SET_OPERATORS = frozenset({"and", "or", "unless"})
PRECEDENCE = {
    "or": 1,
    **dict.fromkeys(("and", "unless"), 2),
    **dict.fromkeys(COMPARISONS, 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
"""Operators; one of a higher number binds closer."""

PARAMETERS: dict[str, Type | None] = {
    "sum": None,
    "avg": None,
    "count": None,
    "min": None,
    "max": None,
    "group": None,
    "stddev": None,
    "stdvar": None,
    "topk": SCALAR,
    "bottomk": SCALAR,
    "quantile": SCALAR,
    "limitk": SCALAR,
    "limit_ratio": SCALAR,
    "count_values": TEXT,
}
"""Aggregations, with the type of their parameter."""


class Signature(NamedTuple):
    """``more``: how many further arguments of the last type may follow ``arguments``; -1: any number."""

    arguments: tuple[Type, ...]
    optional: int = 0
    more: int = 0
    returns: Type = VECTOR

    def missed_by(self, count: int) -> str | None:
        """Return how many arguments there must be; None where ``count`` are right."""
        least, most = len(self.arguments) - self.optional, len(self.arguments) + self.more
        if count >= least and (self.more < 0 or count <= most):
            return None
        return f"{least}" if least == most else f"{least} or more" if self.more < 0 else f"{least} to {most}"


def _same(names: str, signature: Signature) -> dict[str, Signature]:
    return dict.fromkeys(names.split(), signature)


SIGNATURES: dict[str, Signature] = {
    **_same(
        "abs ceil floor exp ln log2 log10 sqrt sgn sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh deg rad "
        "absent sort sort_desc timestamp",
        Signature((VECTOR,)),
    ),
    **_same(
        "rate increase delta irate idelta deriv changes resets absent_over_time avg_over_time min_over_time "
        "max_over_time sum_over_time count_over_time stddev_over_time stdvar_over_time mad_over_time last_over_time "
        "first_over_time present_over_time ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time "
        "ts_of_min_over_time",
        Signature((RANGE,)),
    ),
    **_same(
        "minute hour day_of_week day_of_month day_of_year days_in_month month year",
        Signature((VECTOR,), optional=1),
    ),
    **_same("sort_by_label sort_by_label_desc", Signature((VECTOR, TEXT), optional=1, more=-1)),
    "info": Signature((VECTOR, VECTOR), optional=1),
    "clamp": Signature((VECTOR, SCALAR, SCALAR)),
    "clamp_min": Signature((VECTOR, SCALAR)),
    "clamp_max": Signature((VECTOR, SCALAR)),
    "round": Signature((VECTOR, SCALAR), optional=1),
    "quantile_over_time": Signature((SCALAR, RANGE)),
    "predict_linear": Signature((RANGE, SCALAR)),
    "double_exponential_smoothing": Signature((RANGE, SCALAR, SCALAR)),
    "histogram_quantile": Signature((SCALAR, VECTOR)),
    "histogram_quantiles": Signature((VECTOR, TEXT, SCALAR), more=9),
    "histogram_fraction": Signature((SCALAR, SCALAR, VECTOR)),
    "label_replace": Signature((VECTOR, TEXT, TEXT, TEXT, TEXT)),
    "label_join": Signature((VECTOR, TEXT, TEXT, TEXT), optional=1, more=-1),
    "scalar": Signature((VECTOR,), returns=SCALAR),
    "vector": Signature((SCALAR,)),
    **_same("time pi start end step range", Signature((), returns=SCALAR)),
    **_same("min_of max_of", Signature((SCALAR, SCALAR), returns=SCALAR)),
}

EXTENDED = {
    "anchored": ("changes", "delta", "increase", "rate", "resets"),
    "smoothed": ("delta", "increase", "rate"),
}
"""Functions that take ranges with these modifiers."""

REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("histogram_avg", "histogram_count", "histogram_sum", "histogram_stddev", "histogram_stdvar"),
        "reads native histograms, which are not supported",
    ),
    **dict.fromkeys(("integral", "timeseries_gen"), "is experimental and not supported"),
    "holt_winters": "is called double_exponential_smoothing in Prometheus 3",
}
"""Functions of Prometheus that a query may not use, with the reason."""


def type_of(node: Node) -> Type:
    """Return the type of a node's result."""
    match node:
        case Number():
            return SCALAR
        case Text():
            return TEXT
        case RangeSelector() | Subquery():
            return RANGE
        case Negation(expression=below):
            return type_of(below)
        case Binary(left=left, right=right):
            return SCALAR if type_of(left) == type_of(right) == SCALAR else VECTOR
        case Call(function=function):
            return SIGNATURES[function].returns
        case _:
            return VECTOR
