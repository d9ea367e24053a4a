"""README and docs/ say what is so: configurations load, links lead somewhere, all alerts and commands are described."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import tomli

from chainwatch.cli import main
from chainwatch.config import read_dict
from chainwatch.config.doubts import RENAMED
from chainwatch.model import TRANSFER_STATUSES
from chainwatch.plan import load_plan, make_plan
from tests.support.pages import PAGES, ROOT, Block, blocks, configurations, prose, variables

ALERTS = ROOT / "docs" / "alerts.md"
OPERATIONS = ROOT / "docs" / "operations.md"
README = ROOT / "README.md"
CONFIG = ROOT / "config.toml"
GLOSSARY = ROOT / "docs" / "glossary.md"
PACKAGE = ROOT / "chainwatch"
GUIDES = (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md")
ROOMS = ("chainwatch", "docs", "scripts", "tests", "abi")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.-]+(/[\w.-]+)*(/|\.(py|md|toml|json))")
METHOD = re.compile(r"[A-Z][a-z]+[A-Za-z]*(\.[a-z_]+)?")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ALERT_NAME = re.compile(r"Watchdog|([A-Z][a-z]+){2,}")
NO_ALERTS = {"ActionKind", "ChainConnectionStatus", "PagerDuty", "PanicException", "PrometheusRule"}
"""Words of the code that look like the names of alerts."""
PRESETS = ROOT / "chainwatch" / "init" / "presets"
"""They name events of protocols."""
COMMAND = re.compile(r"^(?:scripts/run|\S*chainwatch) +(.+)$", re.MULTILINE)


def test_there_are_pages_and_configurations_to_check() -> None:
    assert {"README.md", "alerts.md", "operations.md", "writing-a-flow.md"} <= {path.name for path in PAGES}
    assert len(configurations()) >= 3


@pytest.mark.parametrize("block", configurations(), ids=lambda block: f"{block.page}: {block.heading}")
def test_every_configuration_loads(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(block.text.replace('abi = "abi/', f'abi = "{ROOT}/abi/'))
    plan = load_plan(path, variables(block.text))
    assert plan.flows
    assert plan.watches


def view(name: str, output: str, *inputs: str) -> dict[str, object]:
    """A view function in an ABI file."""
    given = [{"name": f"a{at}", "type": of} for at, of in enumerate(inputs)]
    outputs = [{"name": "", "type": output}]
    return {"type": "function", "name": name, "stateMutability": "view", "inputs": given, "outputs": outputs}


VIEWS = [
    view("balanceOf", "uint256", "address"),
    view("totalSupply", "uint256"),
    view("getOwners", "address[]"),
    view("owner", "address"),
]


def excerpts() -> list[Block]:
    """Invariants and rules in the documentation, without the networks and contracts that they name."""
    return [
        block
        for path in PAGES
        for block in blocks(path)
        if block.language == "toml"
        and not block.is_configuration
        and {"invariants", "rules"} & tomli.loads(block.text).keys()
        and path.name not in ("invariant-kinds.md", "presets.md")  # whose examples other tests compile
    ]


@pytest.mark.parametrize("excerpt", excerpts(), ids=lambda block: f"{block.page}: {block.heading}")
def test_every_invariant_and_rule_compiles(excerpt: Block, tmp_path: Path) -> None:
    text = CONFIG.read_text()
    config = tomli.loads(text)
    (tmp_path / "abi.json").write_text(json.dumps(VIEWS))
    for name in {"usdc", "dai", "next-usdc", "next-dai", *re.findall(r'contract = "([\w-]+)"', excerpt.text)}:
        addresses = dict.fromkeys(config["networks"], "0x" + "11" * 20)
        config["contracts"][name] = {"abi": str(tmp_path / "abi.json"), "address": addresses}
    config["contracts"]["connext"]["abi"] = str(ROOT / "abi" / "connext.json")
    config["assets"]["usdc"] = config["assets"].pop("USDC")
    given = tomli.loads(re.sub('0x…[^"]*', "0x" + "11" * 20, excerpt.text))
    config |= {"invariants": {}, "rules": []} | {key: given[key] for key in given if key != "rule_files"}
    settings = make_plan(read_dict(config, variables(text), ROOT)).settings
    assert settings.invariants or settings.rules


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_toml_block_is_toml(page: Path) -> None:
    for block in blocks(page):
        if block.language == "toml":
            assert tomli.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.is_file(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name}: {target}"


@pytest.mark.parametrize("page", GUIDES, ids=lambda path: path.name)
def test_every_path_in_the_guides_exists(page: Path) -> None:
    named = {word for word in CODE.findall(prose(page.read_text())) if PATH.fullmatch(word)}
    assert len(named) >= 15
    everything = {f"/{path.relative_to(ROOT)}" for room in ROOMS for path in (ROOT / room).rglob("*")}
    everything |= {f"/{path.name}" for path in ROOT.iterdir()}
    missing = {
        word
        for word in named
        if "NAME" not in word and not any(path.endswith("/" + word.strip("/")) for path in everything)
    }
    assert missing == set()


@pytest.mark.slow
@pytest.mark.parametrize("page", GUIDES, ids=lambda path: path.name)
def test_every_class_and_method_in_the_guides_exists(page: Path) -> None:
    words = {word for word in CODE.findall(prose(page.read_text())) if METHOD.fullmatch(word)}
    code = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    missing = {word for word in words if not all(re.search(rf"\b{part}\b", code) for part in word.split("."))}
    assert missing == set()


@pytest.mark.parametrize("number", range(1, 11))
def test_every_property_is_named_by_a_test_that_guards_it(number: int) -> None:
    (row,) = re.findall(rf"^\| \*\*S{number}\*\* .*$", GUIDES[1].read_text(), re.MULTILINE)
    guards = re.findall(r"`((?:unit|integration|property|e2e)/[^`]+)`", row)
    assert any(re.search(rf"\bS{number}\b", (ROOT / "tests" / guard).read_text()) for guard in guards)


def test_every_promise_of_the_readme_is_one_of_the_properties() -> None:
    promises = README.read_text().partition("## What you can rely on")[2].partition("\n## ")[0]
    assert re.findall(r"\(S(\d+)\)", promises) == [str(number) for number in range(1, 11)]


@pytest.mark.slow
def test_every_alert_of_the_code_has_its_section_and_no_other_has() -> None:
    written = set(re.findall(r"^### (\w+)$", ALERTS.read_text(), re.MULTILINE))
    assert written == set(alert_names())
    assert len(written) >= 14


@pytest.mark.slow
def test_every_alert_about_the_process_has_its_remedy() -> None:
    about_transfers = {name for name in alert_names() if name.startswith("Transfer")}
    notified = set(re.findall(r"^\| `(\w+)`", OPERATIONS.read_text(), re.MULTILINE))
    assert set(alert_names()) - about_transfers <= notified


def test_every_command_is_in_the_readme() -> None:
    table = README.read_text().partition("## Commands")[2].partition("\n## ")[0]
    for name, command in main.commands.items():
        assert f"`chainwatch {name}" in table
        for inner in getattr(command, "commands", {}):
            assert inner in table


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```sh" in page.read_text()], ids=lambda p: p.name
)
def test_every_command_line_in_the_pages_is_understood(page: Path) -> None:
    lines = list(command_lines(page))
    assert lines
    for line in lines:
        understand(main, line)


def test_the_options_of_a_command_line_that_is_not_understood_are_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        understand(main, ["replay", "--sicne", "24h"])


# --- what is compared -----------------------------------------------------------------------------------


def alert_names() -> set[str]:
    """Names of alerts: texts in the code that look like one, but for former names, formats, and what modules export."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if {"demo", "ingestion"} & {*path.parts} or path.is_relative_to(PRESETS):
            continue
        tree = ast.parse(path.read_text())
        exported = {
            id(node) for statement in tree.body if is_export(statement) for node in ast.walk(statement)
        }
        found |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and ALERT_NAME.fullmatch(node.value)
            and id(node) not in exported
        }
    return found - RENAMED.keys() - NO_ALERTS


def is_export(statement: ast.stmt) -> bool:
    """Whether it is ``__all__ = […]``."""
    return isinstance(statement, ast.Assign) and [
        target.id for target in statement.targets if isinstance(target, ast.Name)
    ] == ["__all__"]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_lines(page: Path) -> Iterator[list[str]]:
    """The arguments of every call of chainwatch in a page's shell blocks."""
    for block in blocks(page):
        if block.language == "sh":
            code = re.sub(r" +#.*$|\\\n\s*", "", block.text, flags=re.MULTILINE)
            yield from (shlex.split(re.sub(r" \d?[>&].*$", "", line)) for line in COMMAND.findall(code))


def understand(command: click.Command, arguments: list[str]) -> None:
    """Parse a command line as click would, without running it. Raises click's errors, and KeyError for no command."""
    if isinstance(command, click.Group):
        while arguments and arguments[0].startswith("-"):
            arguments = arguments[2:]  # an option of the group, with its value
        if arguments:
            understand(command.commands[arguments[0]], arguments[1:])
    else:
        command.make_context("chainwatch", list(arguments))


def test_every_status_of_a_transfer_is_in_the_glossary() -> None:
    table = GLOSSARY.read_text().partition("## A transfer's status")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(TRANSFER_STATUSES)


def test_the_page_of_presets_shows_each_flow_once() -> None:
    page = (ROOT / "docs" / "presets.md").read_text()
    assert (
        page.count("\n[flows.ccip-") < 20
    )  # a lane has two ends: not one flow for each pair of forty networks
    assert len(page.splitlines()) < 2_000
