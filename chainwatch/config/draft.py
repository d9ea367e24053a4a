"""A configuration before it is `Settings`: its valid parts, and the problems found so far."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from chainwatch.config import for_each, toml_lines
from chainwatch.config.alerting import (
    AcknowledgeSettings,
    AlertSettings,
    CooldownSettings,
    InhibitSettings,
    IntervalSettings,
    LifecycleSettings,
    RouteSettings,
    SeverityTable,
)
from chainwatch.config.api import ApiSettings
from chainwatch.config.assets import AssetSettings
from chainwatch.config.errors import ConfigError, Problem, expectation, unset_text
from chainwatch.config.flows import FlowSettings
from chainwatch.config.for_each import FOR_EACH, Element, ForEach, names_in, path_in_file
from chainwatch.config.inner_tables import inner_model
from chainwatch.config.invariants import InvariantSettings, PessimismSettings
from chainwatch.config.kinds.expanding import INVARIANTS, Expanded, as_written, expand_all, with_kinds
from chainwatch.config.networks import ContractSettings, NetworkSettings
from chainwatch.config.people import (
    EscalationSettings,
    OnCallSettings,
    PersonSettings,
    RiseSettings,
)
from chainwatch.config.receivers import PROVIDERS, AnyReceiver, secret_keys, settings_model
from chainwatch.config.rules import EvaluationSettings, RuleSettings
from chainwatch.config.samples import SamplesSettings
from chainwatch.config.scrape import ScrapeSettings
from chainwatch.config.settings import SECRET_KEYS, LogSettings, MonitorSettings, Settings, StoreSettings
from chainwatch.config.templates import TemplateSettings
from chainwatch.config.toml_lines import KeyPath, holds
from chainwatch.config.types import Text, WebLink
from chainwatch.support.spelling import did_you_mean, nearest

_BY_NAME: Mapping[str, Any] = {
    "networks": NetworkSettings,
    "contracts": ContractSettings,
    "flows": FlowSettings,
    "invariants": InvariantSettings,
    "assets": AssetSettings,
    "receivers": AnyReceiver,
    "templates": TemplateSettings,
    "intervals": IntervalSettings,
    "people": PersonSettings,
    "oncall": OnCallSettings,
    "escalations": EscalationSettings,
}
_LISTED: Mapping[str, Any] = {
    "routes": RouteSettings,
    "inhibit": InhibitSettings,
    "lifecycle": LifecycleSettings,
    "cooldowns": CooldownSettings,
    "acknowledge": AcknowledgeSettings,
    "rules": RuleSettings,
    "scrape": ScrapeSettings,
}
_SINGLE: Mapping[str, Any] = {
    "store": StoreSettings,
    "log": LogSettings,
    "monitor": MonitorSettings,
    "api": ApiSettings,
    "pessimism": PessimismSettings,
    "alerts": AlertSettings,
    "severities": SeverityTable,
    "evaluation": EvaluationSettings,
    "samples": SamplesSettings,
}
_MODELS: Mapping[str, type[BaseModel]] = {**_BY_NAME, **_LISTED, **_SINGLE, "escalate_after": RiseSettings}
_SECTIONS, _LISTS, _TABLES = (
    {name: TypeAdapter(model) for name, model in models.items()} for models in (_BY_NAME, _LISTED, _SINGLE)
)
_RISE = TypeAdapter(RiseSettings)
_FOR_EACH: TypeAdapter[Any] = TypeAdapter(ForEach)
_LINK: TypeAdapter[str] = TypeAdapter(WebLink)
_FILES: TypeAdapter[list[str]] = TypeAdapter(list[Text])
_TOP_LEVEL = {"escalate_after", "external_url", "rule_files", *_TABLES, *_LISTS, *_SECTIONS}
_NOT_IN_FILE = {"name", "attributes"}

MAX_INTEGER_BITS = 256
"""No number on a chain is larger, and Python refuses to print numbers of thousands of digits."""

_VARIABLE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)\})?")


class Draft:
    """The configuration as read: ``parts`` are its valid parts, ``problems`` the errors in the rest.

    Each network, contract, flow, receiver and route is validated on its own: one mistake hides no other.
    """

    def __init__(
        self,
        file: str,
        folder: Path,
        data: Mapping[str, Any],
        environ: Mapping[str, str],
        lines: Mapping[KeyPath, int] | None,
    ) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._noted: set[Problem] = set()
        self.warnings: list[Problem] = []
        self._folder = folder
        self._lines = lines
        self._environ = environ
        self._variables: dict[KeyPath, str] = {}
        self._unset: set[KeyPath] = set()
        self._kinds: dict[str, Expanded] = {}
        self._unset_variables: dict[str, list[KeyPath]] = {}
        self._data: dict[str, Any] = dict(data)
        self._elements: dict[str, Element] = {}
        self._data = self._expanded((), self._data)
        self._add_unset_variables()
        self._expand_lists()
        self._expand_kinds()
        self.parts = self._valid_parts()

    def settings(self) -> Settings:
        """Return the valid settings. Raises `ConfigError` when there are problems, in the file's order."""
        if self.problems:
            raise ConfigError(self.file, sorted(self.problems, key=lambda problem: problem.line))
        return self.parts

    def add(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Add a problem at ``path``. Use `quote` to name a value of the file: it may be secret."""
        path, message = as_written(self._kinds, path, message)
        path = path_in_file(self._elements, path)
        problem = Problem(path, self.line_of(path), message, hint)
        if path not in self._unset and problem not in self._noted:
            self._noted.add(problem)
            self.problems.append(problem)

    def warn(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Add a warning at ``path``: perhaps a mistake."""
        problem = Problem(path, self.line_of(path), message, hint)
        if problem not in self.warnings:
            self.warnings.append(problem)

    def line_of(self, path: KeyPath) -> int:
        """Return the line of ``path`` or of the table around it; 0 when the configuration is not from a file."""
        return toml_lines.line_of(self._lines, path) if self._lines is not None else 0

    def value(self, path: KeyPath) -> Any:
        """Return the value at ``path``, with variables replaced; None where there is none."""
        value: Any = self._data
        for part in path:
            if not holds(value, part):
                return None
            value = value[part]
        return value

    @property
    def contents(self) -> Mapping[str, Any]:
        """All of its values, with variables replaced."""
        return self._data

    def texts(self, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
        """Yield the text at ``path``, or each text of the list there, with its path."""
        value = self.value(path)
        if isinstance(value, str):
            yield path, value
        for index, item in enumerate(value if isinstance(value, list) else ()):
            if isinstance(item, str):
                yield (*path, index), item

    def names(self, section: str) -> list[str]:
        """Return the names of all tables in ``section`` (``networks``, …), valid or not."""
        tables = self._data.get(section)
        return list(tables) if isinstance(tables, dict) else []

    def quote(self, path: KeyPath) -> str:
        """Return the value at ``path`` as a message may show it: never a secret, nor what a variable held."""
        value = self.value(path)
        path = path_in_file(self._elements, as_written(self._kinds, path, "")[0])
        if path in self._variables:
            return f"the {'' if value else 'empty '}value of {self._variables[path]}"
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        if isinstance(value, list):
            return "a list" if value else "an empty list"
        if not isinstance(value, str):
            return "a table" if isinstance(value, dict) else "a date or time"
        if not value:
            return "empty text"
        secret = self._is_secret(path) or "://" in value or len(value) > 60
        return "other text" if secret else json.dumps(value, ensure_ascii=False)

    def _is_secret(self, path: KeyPath) -> bool:
        """Return whether the values at ``path`` are secret; of an unknown provider's settings all but its name are."""
        if path[:1] != ("receivers",):
            return bool(SECRET_KEYS.intersection(path))
        provider = self.value((*path[:2], "provider"))
        if isinstance(provider, str) and provider in PROVIDERS:
            return bool(secret_keys(provider).intersection(path[2:]))
        return path[2:] != ("provider",)

    # --- ${NAME} --------------------------------------------------------------------------------------

    def _expanded(self, path: KeyPath, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._expanded((*path, key), item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._expanded((*path, index), item) for index, item in enumerate(value)]
        if isinstance(value, str):
            return _VARIABLE.sub(lambda match: self._variable(path, match), value)
        if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
            self.add(path, f"a number of more than {MAX_INTEGER_BITS} bits")
            self._unset.add(path)
            return 0
        return value

    def _variable(self, path: KeyPath, match: re.Match[str]) -> str:
        name = match["name"]
        if match[0] == "$${":
            return "${"
        if path[0] == INVARIANTS and name in names_in(self.value(path[:2])):
            return match[0]
        if name is not None and name in self._environ:
            self._variables[path] = match[0]
            if self._is_secret(path) and not self._environ[name].strip():
                self.add(path, f"expected a secret or URL, found the empty value of {match[0]}")
                self._unset.add(path)
            return self._environ[name]
        if name is None:
            self.add(path, "expected ${NAME}, an environment variable's name", "write $${ for ${ itself")
        else:
            self._unset_variables.setdefault(name, []).append(path)
        self._unset.add(path)
        return match[0]

    def _add_unset_variables(self) -> None:
        """Add one problem for each variable, however often it is used."""
        for name, paths in self._unset_variables.items():
            first, *others = dict.fromkeys(paths)
            self.problems.append(Problem(first, self.line_of(first), unset_text(name, others)))

    def _expand_lists(self) -> None:
        """Replace each invariant with lists by those that it becomes; one with mistakes in them is left out."""

        def is_valid(name: str, lists: Any) -> bool:
            return self._valid(_FOR_EACH, lists, (INVARIANTS, name, FOR_EACH)) is not None

        self._data, self._elements, mistakes = for_each.expand_all(self._data, is_valid)
        for name, message in mistakes.items():
            self.add((INVARIANTS, name, FOR_EACH), message)

    def _expand_kinds(self) -> None:
        """Replace each invariant with a kind by what the kind makes of it; one with mistakes is noted and left out."""
        keys = {field.alias or key for key, field in InvariantSettings.model_fields.items()}
        kinds = expand_all(self._data, keys)
        for name, expanded in kinds.items():
            for path, message, hint, is_expectation in expanded.mistakes:
                place = (INVARIANTS, name, *path)
                self.add(place, message + (f", found {self.quote(place)}" if is_expectation else ""), hint)
        self._data, self._kinds = with_kinds(self._data, kinds), kinds

    # --- validation -----------------------------------------------------------------------------------

    def _valid_parts(self) -> Settings:
        for key in sorted(self._data.keys() - _TOP_LEVEL):
            self.add((key,), "unknown key", did_you_mean(key, _TOP_LEVEL))
        link = self._data.get("external_url")
        rise = self._data.get("escalate_after")
        return Settings(
            folder=self._folder,
            elements=self._elements,
            look_ups={name: one.look_up for name, one in self._kinds.items() if one.look_up},
            external_url=None if link is None else self._valid(_LINK, link, ("external_url",)),
            escalate_after=None if rise is None else self._valid(_RISE, rise, ("escalate_after",)),
            rule_files=self._valid(_FILES, self._data.get("rule_files", []), ("rule_files",)) or [],
            **{name: self._valid_table(name) for name in _TABLES},
            **{section: list(self._valid_list(section)) for section in _LISTS},
            **{section: dict(self._valid_tables(section)) for section in _SECTIONS},
        )

    def _valid_table(self, name: str) -> Any:
        table = _TABLES[name]
        return self._valid(table, self._data.get(name, {}), (name,)) or table.validate_python({})

    def _valid_tables(self, section: str) -> Iterator[tuple[str, Any]]:
        tables = self._data.get(section, {})
        if not isinstance(tables, dict):
            self.add((section,), f"expected tables [{section}.NAME], found {self.quote((section,))}")
            return
        for name, table in tables.items():
            path = (section, name)
            is_element = section == INVARIANTS and name in self._elements
            if not name or (re.search(r"\s", name) and not is_element):
                self.add(path, "expected a name without spaces")
            if not isinstance(table, dict):
                self.add(path, f"expected a table, found {self.quote(path)}", f"write [{section}.NAME]")
                continue
            if "name" in table:
                self.add((*path, "name"), "unknown key", "the table's own key is the name")
            valid = self._valid(_SECTIONS[section], {**table, "name": name}, path)
            if valid is not None:
                yield name, valid

    def _valid_list(self, section: str) -> Iterator[Any]:
        tables = self._data.get(section, [])
        if not isinstance(tables, list):
            self.add((section,), "expected a list of tables, found a single one", f"write [[{section}]]")
            return
        for index, table in enumerate(tables):
            valid = self._valid(_LISTS[section], table, (section, index))
            if valid is not None:
                yield valid

    def _valid(self, adapter: TypeAdapter[Any], value: Any, path: KeyPath) -> Any:
        """Return ``value`` as the adapter's model; None, and the problems noted, when it is not valid."""
        try:
            return adapter.validate_python(value, context={"folder": self._folder})
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        places = [(self._place(path, detail), detail) for detail in details]
        misspelt = {self._meant(place) for place, detail in places if detail["type"] == "extra_forbidden"}
        for place, detail in places:
            if not (detail["type"] == "missing" and place in misspelt):
                self._note(place, detail)
        return None

    def _place(self, path: KeyPath, detail: ErrorDetails) -> KeyPath:
        """Return where the error is in the file: pydantic's location without its marks for members of unions."""
        value = self.value(path)
        *inner, last = detail["loc"] or (None,)
        for part in inner:
            if holds(value, part):
                path, value = (*path, part), value[part]
        if detail["type"].startswith("union_tag"):
            return (*path, "provider")
        if last is not None and (detail["type"] == "missing" or holds(value, last)):
            return (*path, last)
        return path

    def _note(self, place: KeyPath, detail: ErrorDetails) -> None:
        kind = detail["type"]
        if kind == "default_factory_not_called":
            return  # follows from another error, which has a problem of its own
        if kind == "extra_forbidden":
            self.add(place, "unknown key", did_you_mean(str(place[-1]), self._keys_beside(place)))
        elif kind in ("missing", "union_tag_not_found"):
            meaning = self._keys_beside(place)[str(place[-1])]
            self.add(place, f"missing; expected: {meaning}", self._hint_for_missing(place))
        else:
            expected, hint = expectation(detail)
            # an error within a table is reported at the table
            found = "" if kind == "value_error" and isinstance(self.value(place), dict) else self.quote(place)
            message = f"{expected}, found {found}" if found else expected
            self.add(place, message, hint or self._nearest_choice(place, detail))

    def _keys_beside(self, place: KeyPath) -> dict[str, str]:
        """Return the keys that the table around ``place`` may have, with what each means."""
        table = place[:-1]
        model: type[BaseModel]
        if table[0] == "receivers":
            model = settings_model(self.value((*table, "provider")))
        else:
            model = inner_model(table) or _MODELS[str(table[0])]
        fields = model.model_fields.items()
        return {
            field.alias or key: field.description or "" for key, field in fields if key not in _NOT_IN_FILE
        }

    def _meant(self, place: KeyPath) -> KeyPath:
        """Return the path of the known key that the unknown key at ``place`` seems to mean."""
        return (*place[:-1], nearest(str(place[-1]), self._keys_beside(place)) or "")

    def _hint_for_missing(self, place: KeyPath) -> str:
        """Return a hint where an unknown key beside a missing one may be a misspelling of it."""
        table = self.value(place[:-1])
        others = table.keys() - self._keys_beside(place).keys() if isinstance(table, dict) else ()
        near = nearest(str(place[-1]), others)
        return f'is "{near}" meant for it?' if near else ""

    def _nearest_choice(self, place: KeyPath, detail: ErrorDetails) -> str:
        value = self.value(place)
        if place in self._variables or not isinstance(value, str):
            return ""
        context = detail.get("ctx", {})
        choices = re.findall(r"'([^']+)'", str(context.get("expected") or context.get("expected_tags") or ""))
        near = nearest(value, choices)
        return f'did you mean "{near}"?' if near else ""
