#!/usr/bin/env python3
"""Write the generated pages of docs/ (`PAGES`); with --check, say whether they are current."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from datetime import date
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent

sys.path.insert(0, str(ROOT))

from chainwatch.config import (  # noqa: E402  # the checkout's models
    AcknowledgeSettings,
    AlertSettings,
    ContractSettings,
    CooldownSettings,
    FlowSettings,
    InhibitSettings,
    IntervalSettings,
    LifecycleSettings,
    LogSettings,
    NetworkSettings,
    OpeningSettings,
    RouteSettings,
    Settings,
    StepSettings,
    StoreSettings,
    format_duration,
    types,
)
from chainwatch.config.api import ApiSettings  # noqa: E402
from chainwatch.config.assets import AssetSettings, CurrencySettings  # noqa: E402
from chainwatch.config.flows import SiblingSettings  # noqa: E402
from chainwatch.config.for_each import ListSettings  # noqa: E402
from chainwatch.config.invariant_values import ValueSettings  # noqa: E402
from chainwatch.config.invariants import (  # noqa: E402
    InvariantSettings,
    PessimismSettings,
    TriggerSettings,
)
from chainwatch.config.people import (  # noqa: E402
    EscalationSettings,
    EscalationStepSettings,
    LayerSettings,
    OnCallSettings,
    PersonSettings,
    RiseSettings,
)
from chainwatch.config.receivers import PROVIDERS, settings_model  # noqa: E402
from chainwatch.config.rules import EvaluationSettings, RuleSettings  # noqa: E402
from chainwatch.config.samples import SamplesSettings  # noqa: E402
from chainwatch.config.scrape import ScrapeSettings  # noqa: E402
from chainwatch.config.settings import MonitorSettings  # noqa: E402
from chainwatch.config.templates import TemplateSettings  # noqa: E402
from scripts import kind_pages, preset_pages, rule_preset_page  # noqa: E402

INTRODUCTION = """\
# Configuration

<!-- Written by scripts/docs.py from the models in chainwatch/config: change those, then run it. -->

One TOML file, `config.toml` by default; the one in the repository is a working example with every key.
`chainwatch check` reports every problem in a file at once, with its line.

- **Durations** are text with a unit: `"500ms"`, `"90s"`, `"30m"`, `"3h"`, `"7d"`, `"1h30m"`, or ISO 8601 (`"PT5M"`).
- **Severities** are `P0` (`critical`), `P1` (`high`), `P2` (`medium`, `warning`) and `P3` (`low`, `info`).
- **`${NAME}`** in any text is replaced by the environment variable `NAME`; `$${` stands for `${` itself.
- **Paths** into an event's arguments are names joined by dots, such as `params.originDomain`. Wherever a network is
  named, a configured network's name wins over a path.
- **Relative paths** of ABI files and of SQLite databases are relative to the config file's folder.
- **Unknown keys** are errors, except in `[networks.NAME]`, where they are free attributes.
- **Secrets** (`rpc`, and the keys described as secret) appear in no log, error or output.
"""

TABLES: list[tuple[str, type[BaseModel]]] = [
    ("Top level", Settings),
    ("[store]", StoreSettings),
    ("[log]", LogSettings),
    ("[monitor]", MonitorSettings),
    ("[api]", ApiSettings),
    ("[networks.NAME]", NetworkSettings),
    ("currency of [networks.NAME]", CurrencySettings),
    ("[contracts.NAME]", ContractSettings),
    ("[assets.NAME]", AssetSettings),
    ("[flows.NAME]", FlowSettings),
    ("[flows.NAME.opens]", OpeningSettings),
    ("[[flows.NAME.expects]]", StepSettings),
    ("with.NAME of a flow's step", SiblingSettings),
    ("[invariants.NAME]", InvariantSettings),
    ("[invariants.NAME.values]", ValueSettings),
    ("every of an invariant", TriggerSettings),
    ("for_each.NAME of an invariant, read from a contract", ListSettings),
    ("[pessimism]", PessimismSettings),
    ("[[rules]]", RuleSettings),
    ("[evaluation]", EvaluationSettings),
    ("[samples]", SamplesSettings),
    ("[[scrape]]", ScrapeSettings),
    *((f'[receivers.NAME] with provider = "{name}"', settings_model(name)) for name in PROVIDERS),
    ("[templates.NAME]", TemplateSettings),
    ("[[routes]]", RouteSettings),
    ("[people.NAME]", PersonSettings),
    ("[oncall.NAME]", OnCallSettings),
    ("[[oncall.NAME.layers]]", LayerSettings),
    ("[escalations.NAME]", EscalationSettings),
    ("[[escalations.NAME.steps]]", EscalationStepSettings),
    ("[escalate_after]", RiseSettings),
    ("[intervals.NAME]", IntervalSettings),
    ("[[inhibit]]", InhibitSettings),
    ("[[lifecycle]]", LifecycleSettings),
    ("[[cooldowns]]", CooldownSettings),
    ("[[acknowledge]]", AcknowledgeSettings),
    ("[alerts]", AlertSettings),
]
NOT_IN_TABLE = {"name", "attributes", "folder", "elements", "look_ups"}

WORDS: list[tuple[Any, str]] = [
    (types.Duration, "duration"),
    (types.PositiveDuration, "duration"),
    (types.Severity, "severity"),
    (types.Deployment, "address, or table: network → address or list of addresses"),
    (types.Names, "text or list of text"),
    (types.Match, "table: label → text or list of text"),
    (types.Digest, "text"),
    (types.Zone, "text"),
    (types.Clocks, "text or list of text"),
    (types.Weekdays, "text or list of text"),
    (types.Days, "text or list of text"),
    (types.Months, "text or list of text"),
    (types.Years, "text or list of text"),
    (types.AbiPath, "path"),
    (types.RpcUrl, "URL"),
    (types.HttpUrl, "URL"),
    (types.HttpUrls, "URL or list of URL"),
    (types.WebLink, "URL"),
    (types.ExplorerUrl, "URL"),
    (types.DatabaseUrl, "URL"),
    (date, "date"),
    (bool, "true or false"),
    (types.AtLeastOne, "integer"),
    (int, "integer"),
    (str, "text"),
    (SecretStr, "text"),
]


def page() -> str:
    """The configuration's reference in Markdown."""
    return "\n".join([INTRODUCTION, *(section(title, model) for title, model in TABLES)])


def section(title: str, model: type[BaseModel]) -> str:
    """One table of the file: what it is, then a row for each key."""
    hints = get_type_hints(model, include_extras=True)
    rows = [
        f"| `{field.alias or key}` | {type_words(hints[key])} | {default_words(field)} "
        f"| {field.description} |"
        for key, field in model.model_fields.items()
        if key not in NOT_IN_TABLE and field.description
    ]
    heading = title if model is Settings else f"`{title}`"
    about = "Besides the tables below:" if model is Settings else inspect.cleandoc(model.__doc__ or "")
    return "\n".join(
        [f"## {heading}", "", about, "", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def type_words(hint: Any) -> str:
    """The type of a key's value in words."""
    for known, words in WORDS:
        if hint == known:
            return words
    arguments = [argument for argument in get_args(hint) if argument is not NoneType]
    match get_origin(hint):
        case origin if origin is Annotated:
            return type_words(arguments[0])
        case origin if origin in (Union, UnionType):
            return " or ".join(map(type_words, arguments))
        case origin if origin is Literal:
            return " or ".join(f"`{json.dumps(argument)}`" for argument in arguments)
        case origin if origin is list:
            return f"list of {'tables' if is_model(arguments[0]) else type_words(arguments[0])}"
        case origin if origin is dict:
            inner = "tables" if is_model(arguments[1]) else type_words(arguments[1])
            return f"table of {inner}"
    return "table"


def is_model(hint: Any) -> bool:
    """Whether ``hint`` is a table of its own."""
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def default_words(field: FieldInfo) -> str:
    """A key's default as it would be written; a dash where the description gives it."""
    if field.is_required():
        return "required"
    if field.default_factory is not None or field.default is None:
        return "—"
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if isinstance(default, float):
        default = format_duration(default)
    return f"`{json.dumps(default, default=str)}`"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 when a page is not current"
    )
    check = parser.parse_args().check
    old = [path for path, write in PAGES.items() if not _is_current(path, write())]
    for path in old:
        if check:
            print(f"{path.relative_to(ROOT)} is not current: run scripts/docs.py", file=sys.stderr)
        else:
            path.write_text(PAGES[path](), encoding="utf-8")
    return 1 if check and old else 0


def _is_current(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


PAGES = {
    ROOT / "docs" / "configuration.md": page,
    ROOT / "docs" / "presets.md": preset_pages.page,
    ROOT / "docs" / "ready-made-rules.md": rule_preset_page.page,
    ROOT / "docs" / "invariant-kinds.md": kind_pages.page,
}


if __name__ == "__main__":
    sys.exit(main())
