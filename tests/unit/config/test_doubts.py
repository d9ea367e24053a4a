"""What can match nothing is refused where that is certain, and warned of, with its line, where it is not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chainwatch.checker.compiler import FlowError
from chainwatch.cli import main
from chainwatch.config import NetworkSettings
from chainwatch.config.doubts import ALERTS
from chainwatch.model import AbiEvent, AbiParam
from chainwatch.plan import load_plan
from tests.support.flows import EVENTS, NETWORKS, flow

ROOT = Path(__file__).parents[3]
SHIPPED = (ROOT / "config.toml").read_text()
ENVIRON = dict.fromkeys(re.findall(r"\$\{(\w+)\}", SHIPPED), "https://node.example.org/x")
ROUTE = '\n[[routes]]\nreceivers = ["console"]\ncontinue = true\n'


def warnings(folder: Path, text: str) -> list[str]:
    """What is doubted of the shipped configuration with ``text`` in front of its routes."""
    shutil.copytree(ROOT / "abi", folder / "abi", dirs_exist_ok=True)
    (folder / "config.toml").write_text(text)
    return [w.removeprefix(str(folder)) for w in load_plan(folder / "config.toml", ENVIRON).warnings]


def with_route(match: str) -> str:
    before, mark, after = SHIPPED.partition("\n[[routes]]\n")
    return f"{before}{ROUTE}match = {{ {match} }}\n{mark}{after}"


def test_the_shipped_configuration_is_doubted_nowhere(tmp_path: Path) -> None:
    assert warnings(tmp_path, SHIPPED) == []


def test_no_whole_example_of_the_documentation_is_doubted(tmp_path: Path) -> None:
    pages = (ROOT / "docs").glob("*.md")
    found = [block for page in pages for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S)]
    whole = [block for block in found if "[networks." in block and "[flows." in block]
    assert whole
    for number, block in enumerate(whole):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        shutil.copytree(ROOT / "abi", tmp_path / "abi", dirs_exist_ok=True)
        environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", block), "https://node.example.org/x")
        assert load_plan(file, environ).warnings == ()


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ('alertname = "TransferOverDue"', "TransferOverdue"),
        ('alertname = "DiskFull"', "another program"),
        ('alertname = "=~Bridge.*"', "no alert of chainwatch"),
        ('alertname = "Transfer.*"', 'begins with "=~"'),
        ('alertname = "TransferOverdue|TransferOrphan"', 'begins with "=~"'),
        ('network = "etherium"', '"ethereum"'),
        ('severty = "P0"', '"severity"'),
        ('severity = "=~P[4-9]"', "no alert of chainwatch"),
        ('step = "exeute"', '"execute"'),
        ('receiver = "nobody"', "no alert of chainwatch"),
        ('transfer = "0x.*"', 'begins with "=~"'),
    ],
)
def test_a_matcher_that_nothing_meets_is_warned_of_at_its_line(
    tmp_path: Path, match: str, words: str
) -> None:
    text = with_route(match)
    line = text[: text.index(f"match = {{ {match}")].count("\n") + 1

    (warning,) = warnings(tmp_path, text)

    assert warning.startswith(f"/config.toml:{line}: ")
    assert words in warning


@pytest.mark.parametrize(
    "match",
    [
        'alertname = ["TransferOverdue", "=~Network.+"]',
        'alertname = "!=Watchdog"',
        'alertname = "=~.*"',
        'alertname = "!~Bridge.*"',
        'severity = ["critical", "=~P[01]"]',
        'network = "ethereum"',
        'transfer = "=~0xab.*"',
        'destination = "ethereum"',
        'step = "=execute"',
        'endpoint = "ethereum[0] node.example.org"',
    ],
)
def test_a_matcher_that_something_may_meet_is_not_doubted(tmp_path: Path, match: str) -> None:
    assert warnings(tmp_path, with_route(match)) == []


def test_an_alert_of_another_program_is_doubted_once_whatever_its_labels(tmp_path: Path) -> None:
    assert len(warnings(tmp_path, with_route('alertname = "DiskFull", host = "a"'))) == 1


def test_inhibitions_and_intervals_are_doubted_too(tmp_path: Path) -> None:
    inhibit = '\n[[inhibit]]\nsource = { alertname = "NetworkBlnd" }\ntarget = { flow = "connext" }\nequal = ["netwrk"]\n'
    interval = '\n[intervals.never]\ndays = ["30-31"]\nmonths = ["february"]\n'

    found = warnings(tmp_path, SHIPPED + inhibit + interval)

    assert [
        word in text for word, text in zip(("NetworkBlind", "network", "no day"), found, strict=True)
    ] == [True] * 3


@pytest.mark.parametrize("where", ["true", "1 == 2", "2**8 > 10"])
def test_a_condition_that_reads_nothing_is_doubted(tmp_path: Path, where: str) -> None:
    text = SHIPPED.replace("[flows.connext.opens]\n", f'[flows.connext.opens]\nwhere = "{where}"\n', 1)

    (warning,) = warnings(tmp_path, text)

    assert "the same of every event" in warning


def test_check_shows_warnings_and_ends_well(tmp_path: Path) -> None:
    warnings(tmp_path, with_route('alertname = "DiskFull"'))
    command = ["--config", str(tmp_path / "config.toml"), "check"]

    shown = CliRunner(env=ENVIRON).invoke(main, command)
    data = CliRunner(env=ENVIRON).invoke(main, [*command, "--json"])

    assert (shown.exit_code, data.exit_code) == (0, 0)
    assert "warning: " in shown.output
    assert '"warnings": [' in data.output


def test_every_documented_alert_is_known() -> None:
    documented = re.findall(r"^### ([A-Z]\w+)$", (ROOT / "docs" / "alerts.md").read_text(), re.M)

    assert set(documented) <= ALERTS


# --- what is certain ---------------------------------------------------------------------------------------


def refused(**changes: Any) -> str:
    with pytest.raises(FlowError) as caught:
        flow(**changes)
    return str(caught.value)


def typed(event: str, name: str, abi_type: str) -> dict[str, AbiEvent]:
    inputs = tuple(AbiParam(p.name, abi_type if p.name == name else p.type) for p in EVENTS[event].inputs)
    return EVENTS | {event: AbiEvent(event, inputs)}


@pytest.mark.parametrize("abi_type", ["bytes32", "address", "bool", "bytes"])
def test_parts_of_a_key_that_are_never_equal_are_refused(abi_type: str) -> None:
    message = refused(events=typed("Filled", "id", abi_type))

    assert "flows.bridge.key" in message
    assert "no transfer has both" in message


@pytest.mark.parametrize("abi_type", ["uint32", "int256", "string"])
def test_parts_of_a_key_of_another_size_may_be_equal(abi_type: str) -> None:
    taken = flow(events=typed("Filled", "id", abi_type))

    assert [step.name for step in taken.expected] == [step.name for step in flow().expected]


def networks(**attribute: Any) -> dict[str, NetworkSettings]:
    return {
        name: NetworkSettings.model_validate(
            {"name": name, "chain_id": n.chain_id, "rpc": ["http://node"], **attribute}
        )
        for name, n in NETWORKS.items()
    }


@pytest.mark.parametrize(
    ("abi_type", "value"), [("uint32", "eth"), ("uint32", 2**32), ("bytes32", 7), ("bool", 1)]
)
def test_a_value_that_can_name_no_network_is_refused(abi_type: str, value: object) -> None:
    message = refused(events=typed("Sent", "to", abi_type), networks=networks(tag=value), network_by="tag")

    assert "it names no network" in message


@pytest.mark.parametrize(
    ("abi_type", "value"),
    [("uint32", "7"), ("string", "eth"), ("bytes32", "0x" + "00" * 32), ("uint256", 2**255)],
)
def test_a_value_that_can_name_a_network_is_taken(abi_type: str, value: object) -> None:
    events = typed("Sent", "to", abi_type)
    fixed = {"origin": "alpha"}

    taken = flow(
        events=events,
        networks=networks(tag=value),
        network_by="tag",
        opens={"origin": None},
        fill=fixed,
        settle=fixed,
    )

    assert taken.opening.name == flow().opening.name


def test_an_origin_where_nothing_opens_is_refused() -> None:
    assert "no transfer of this flow opens on gamma" in refused(
        opens={"on": "alpha"}, fill={"origin": "gamma"}
    )
