"""Rule files, as Prometheus reads them (model/rulefmt), also in the manifests of its operator for Kubernetes."""

from __future__ import annotations

from chainwatch.promql.errors import ParseError
from chainwatch.promql.parser import Query
from chainwatch.promql.resolving import parse_instant
from chainwatch.promql.series import NAME
from chainwatch.promql.signatures import SCALAR, VECTOR
from chainwatch.rules.fields import Fields, Problem
from chainwatch.rules.model import AlertingRule, Group, RecordingRule, Rule
from chainwatch.rules.template import Template, TemplateError
from chainwatch.rules.yaml_tree import Mapping, Place, Scalar, YamlError, read_documents

_FILE_KEYS = frozenset({"groups"})
_MANIFEST_KEYS = frozenset({"apiVersion", "kind", "metadata", "spec"})
_MANIFEST_KIND = "PrometheusRule"
_GROUP_KEYS = frozenset({"name", "interval", "limit", "query_offset", "labels", "rules"})
_MANIFEST_GROUP_KEYS = _GROUP_KEYS | {"partial_response_strategy"}
"""As the operator has them; Thanos alone reads the further one."""
_RULE_KEYS = frozenset({"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"})
PROBLEMS_MAX = 100
"""Problems that are reported of one file."""


class RuleFileError(ValueError):
    """A file that is no rule file; ``problems`` say where and why."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.line, problem.column))[:PROBLEMS_MAX]
        super().__init__("; ".join(map(str, self.problems[:5])))


def read_rule_file(text: str) -> list[Group]:
    """Return the groups of a rule file. Raises ``RuleFileError``."""
    problems: list[Problem] = []
    groups: list[Group] = []
    for root in read_tables(text, problems):
        names: set[str] = set()
        keys = _MANIFEST_GROUP_KEYS if _is_manifest(root) else _GROUP_KEYS
        for fields in _file_fields(root, problems).tables("groups", "a group", keys):
            group = _read_group(fields)
            if group.name in names:
                fields.complain(
                    f"the group name {group.name[:60]!r} is repeated in the same file", fields.place("name")
                )
            names.add(group.name)
            groups.append(group)
    if problems:
        raise RuleFileError(problems)
    return groups


def _file_fields(root: Mapping, problems: list[Problem]) -> Fields:
    """Return the fields of a rule file; of a manifest those of its ``spec``."""
    spec = root.entries.get("spec")
    if _is_manifest(root):
        manifest = Fields(root, f"a {_MANIFEST_KIND}", _MANIFEST_KEYS, problems)
        if isinstance(spec, Mapping):
            return Fields(spec, f"the spec of a {_MANIFEST_KIND}", _FILE_KEYS, problems)
        manifest.complain("field 'spec' must be a table with groups", manifest.place("spec"))
        return manifest
    return Fields(root, "a rule file", _FILE_KEYS, problems)


def _is_manifest(root: Mapping) -> bool:
    kind = root.entries.get("kind")
    return isinstance(kind, Scalar) and kind.text == _MANIFEST_KIND


def read_tables(text: str, problems: list[Problem]) -> list[Mapping]:
    """Return the documents of a YAML file that are tables, and add what is wrong to ``problems``."""
    tables = []
    try:
        for node in read_documents(text):
            if isinstance(node, Mapping):
                tables.append(node)
            elif not (isinstance(node, Scalar) and node.is_null):
                problems.append(Problem(node.place.line, node.place.column, "expected a table"))
    except YamlError as error:
        problems.append(Problem(error.place.line, error.place.column, error.reason))
    return tables


def _read_group(fields: Fields) -> Group:
    name = fields.text("name")
    if not name:
        fields.complain("the group's name must not be empty")
    labels = _labels(fields, "labels", template=False)
    rules = [
        _read_rule(rule)
        for rule in fields.tables("rules", "a rule", _RULE_KEYS)
        if len(fields.problems) < PROBLEMS_MAX
    ]
    limit = fields.whole("limit")
    if limit < 0:
        fields.complain("limit must not be negative", fields.place("limit"))
    return Group(
        name,
        tuple(rule for rule in rules if rule is not None),
        fields.duration("interval") or None,
        limit,
        fields.duration("query_offset"),
        labels,
    )


def _read_rule(fields: Fields) -> Rule | None:
    alert, record = fields.text("alert"), fields.text("record")
    if alert and record:
        fields.complain("only one of 'record' and 'alert' must be set", fields.place("record"))
        return None
    if not alert and not record:
        fields.complain("one of 'record' or 'alert' must be set")
        return None
    query = read_query(fields, "expr")
    if record:
        _check_recording(fields, record)
    labels = _labels(fields, "labels", template=bool(alert))
    annotations = _labels(fields, "annotations", template=True)
    hold, keep_firing = fields.duration("for") or 0, fields.duration("keep_firing_for") or 0
    if query is None:
        return None
    if query.type not in (VECTOR, SCALAR):
        fields.complain(
            f"a rule's query must give a vector or a scalar, not a {query.type}", fields.place("expr")
        )
    line = fields.table.place.line
    if record:
        return RecordingRule(record, query, labels, line)
    return AlertingRule(alert, query, hold, keep_firing, labels, annotations, line)


def read_query(fields: Fields, key: str) -> Query | None:
    """Return the query in a field, or None with a problem that says where in the file."""
    node = fields.table.entries.get(key)
    text = fields.text(key)
    if not text:
        fields.complain(f"field {key!r} must be set", fields.place(key))
        return None
    try:
        return parse_instant(text)
    except ParseError as error:
        place = fields.place(key)
        if isinstance(node, Scalar) and node.plain and error.line == 1:
            place = Place(place.line, place.column + error.column - 1)
        elif isinstance(node, Scalar) and node.indent is not None:
            place = Place(place.line + error.line, node.indent + error.column)
        fields.complain(f"could not parse expression: {error}", place)
        return None


def _check_recording(fields: Fields, name: str) -> None:
    for key in ("annotations", "for", "keep_firing_for"):
        if key in fields.table.entries:
            fields.complain(f"invalid field {key!r} in recording rule", fields.table.keys[key])
    if "{" in name or "}" in name:
        fields.complain(
            f"invalid recording rule name: {name[:60]!r}: are its braces part of expr?",
            fields.place("record"),
        )


def _labels(fields: Fields, key: str, *, template: bool) -> dict[str, str]:
    """Return labels or annotations, if their names are names and their values templates."""
    found = fields.texts(key)
    node = fields.table.entries.get(key)
    for name, value in found.items():
        assert isinstance(node, Mapping)
        if not name or (key == "labels" and name == NAME):
            fields.complain(f"invalid name in {key}: {name!r}", node.keys[name])
        if not template:
            continue
        try:
            Template(value)
        except TemplateError as error:
            fields.complain(f"{key}: {name[:60]!r}: {error}", node.entries[name].place)
    return found
