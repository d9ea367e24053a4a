"""PromQL in rules: whether a query is one. The parser is that of `promql-parser`."""

from __future__ import annotations

import re

QUERY_MAX = 4_096
PARTS_MAX = 400
"""The parser recurses for each bracket and operator: too many would overflow the stack and end the process."""

_PART = re.compile(r"[-+*/%^<>=!(\[{]|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)


def check_query(text: str) -> None:
    """Check that ``text`` is a query that returns a vector or a number. Raises ``ValueError`` with the parser's message."""
    if len(text) > QUERY_MAX:
        raise ValueError(f"longer than {QUERY_MAX} characters")
    if len(_PART.findall(text)) > PARTS_MAX:
        raise ValueError(f"more than {PARTS_MAX} operators and opening brackets")
    import promql_parser  # it takes some ms, and most processes need none

    try:
        parsed = promql_parser.parse(text)
    except ValueError as error:
        raise ValueError(str(error)[:300] or "not a PromQL query") from None
    except BaseException as error:
        if (
            type(error).__name__ == "PanicException"
        ):  # a defect of the parser, which derives from no usual error
            raise ValueError("the parser cannot read this query") from None
        raise
    while isinstance(parsed, promql_parser.ParenExpr):
        parsed = parsed.expr
    if isinstance(parsed, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
        raise ValueError("a range of values; expected a vector or a number, such as rate(x[5m])")
    if isinstance(parsed, promql_parser.StringLiteral):
        raise ValueError("a text; expected a vector or a number")
