"""Every signal that chainwatch makes says what it is about; only what other programs send is external."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import chainwatch
from chainwatch.model import Signal

PACKAGE = Path(chainwatch.__file__).parent
EXTERNAL = {PACKAGE / "alerting" / "engine" / "submission.py"}
PLACE = Signal.__struct_fields__.index("source")


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(PACKAGE.rglob("*.py")) if "Signal(" in p.read_text() and p not in EXTERNAL],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_every_signal_of_chainwatch_names_its_source(path: Path) -> None:
    made = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Signal"
    ]
    without = [n.lineno for n in made if len(n.args) <= PLACE and all(k.arg != "source" for k in n.keywords)]
    assert without == []
