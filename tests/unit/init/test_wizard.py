"""`chainwatch init`: from a few answers to a configuration that loads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from chainwatch.init.answers import CHOICES, OWN, Answers, ChosenNetwork, ChosenReceiver, InitError, providers
from chainwatch.init.presets import PRESETS, abi_text
from chainwatch.init.questions import Given, Prompt, ask
from chainwatch.init.text import write_config
from chainwatch.init.wizard import create
from chainwatch.plan import Plan, load_plan
from chainwatch.support.keccak import checksum_address

T = TypeVar("T")

ROOT = Path(__file__).parents[3]
SPOKE_POOL = "0x5c7BCd6E7De5423a257D81B442095A1a6ced35C5"
OWN_FLOW = Given(
    preset=OWN,
    networks=["left=31337", "right=31338"],
    abi=["bridge.json"],
    address=[f"left={SPOKE_POOL}", f"right={SPOKE_POOL}"],
    opens="FundsDeposited",
    expects="FilledRelay",
    key="depositId",
    destination="destinationChainId",
    within="45s",
)


def given(preset: str) -> Given:
    if preset == OWN:
        return OWN_FLOW
    networks = PRESETS[preset].networks
    return with_addresses(Given(preset=preset, networks=networks[: PRESETS[preset].most_networks or None]))


def with_addresses(given: Given) -> Given:
    """``given``, and an address on each network where the preset's contract is known to the user alone."""
    own = PRESETS[given.preset].own_contract
    return replace(given, address=[f"{network}={SPOKE_POOL}" for network in given.networks if own])


def created(given: Given, folder: Path) -> Plan:
    """The plan of the configuration that ``given`` leads to, once every variable it asks for is set."""
    folder.mkdir(exist_ok=True)
    (folder / "bridge.json").write_text(abi_text("across"))
    done = create(ask(given), folder / "chainwatch.toml")
    return load_plan(done.config, dict.fromkeys(done.variables, "https://node.example/key"))


def answering(*answers: str) -> Prompt:
    """A person who gives ``answers`` in turn, an empty one for the default."""
    turn = iter(answers)

    def prompt(_question: str, default: str, parse: Callable[[str], T]) -> T:
        return parse(next(turn) or default)

    return prompt


@pytest.mark.slow
@pytest.mark.parametrize("preset", CHOICES)
def test_what_is_written_loads_once_its_variables_are_set(preset: str, tmp_path: Path) -> None:
    plan = created(given(preset), tmp_path)
    assert plan.flows or plan.invariants.invariants
    assert plan.warnings == ()
    assert set(plan.watches) == set(plan.settings.networks)
    assert list(plan.settings.receivers) == ["console"]
    assert plan.warnings == ()


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_every_known_pair_of_networks_loads(preset: str, tmp_path: Path) -> None:
    first, *others = PRESETS[preset].networks
    for other in others:
        plan = created(with_addresses(Given(preset=preset, networks=[first, other])), tmp_path / other)
        assert set(plan.settings.networks) == {first, other}


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_every_flow_can_open_and_end_on_the_networks_chosen(preset: str, tmp_path: Path) -> None:
    for flow in created(given(preset), tmp_path).flows:
        assert flow.origins
        assert all(step.severity for step in flow.expected)


@pytest.mark.parametrize(
    ("preset", "kinds"),
    [
        ("connext", {"paused", "owner", "facets", "constant"}),
        ("hyperlane", {"owner", "constant", "implementation", "proxy_admin"}),
        ("layerzero-oft", {"owner", "constant"}),
        ("cctp-v1", {"paused", "owner", "constant"}),
        ("cctp-v2", {"paused", "owner", "constant", "implementation", "proxy_admin"}),
        ("op-stack", {"paused", "implementation", "proxy_admin", "rises"}),
        (
            "safe",
            {
                "safe_owners",
                "safe_threshold",
                "safe_singleton",
                "safe_guard",
                "safe_modules",
                "safe_fallback",
            },
        ),
    ],
)
def test_presets_have_invariants_of_their_protocols(preset: str, kinds: set[str], tmp_path: Path) -> None:
    first, second = PRESETS[preset].networks[:2]
    plan = created(with_addresses(Given(preset=preset, networks=[first, second])), tmp_path)
    compiled = {one.name for one in plan.invariants.invariants}
    assert compiled == set(plan.settings.invariants)
    assert {one.kind for one in plan.settings.invariants.values()} == kinds
    looked_up = {one.heuristic for one in plan.settings.look_ups.values()}
    assert looked_up == ({"fault_detector", "withdrawal_safety"} if preset == "op-stack" else set())


def test_flags_alone_decide_everything(tmp_path: Path) -> None:
    flags = Given(
        preset="connext",
        networks=["ethereum", "optimism"],
        rpc=["ethereum=ETH_WS_URL", "ethereum=ETH_HTTP_URL", "optimism=https://op.example/${OP_KEY}"],
        receivers=["discord", "webhook=PAGER_URL"],
        store="DATABASE_URL",
    )
    done = create(ask(flags), tmp_path / "config.toml")
    assert done.variables == (
        "ETH_WS_URL",
        "ETH_HTTP_URL",
        "OP_KEY",
        "DATABASE_URL",
        "DISCORD_WEBHOOK_URL",
        "PAGER_URL",
    )
    environ = dict.fromkeys(done.variables, "https://node.example/x") | {"DATABASE_URL": "postgresql://db/cw"}
    settings = load_plan(done.config, environ).settings
    assert [len(n.rpc) for n in settings.networks.values()] == [2, 1]
    assert (
        settings.networks["optimism"].rpc[0].get_secret_value() == "https://op.example/https://node.example/x"
    )
    assert list(settings.receivers) == ["console", "discord", "webhook"]
    assert settings.networks["optimism"].attribute("domain") == 1869640809
    assert settings.store.url.get_secret_value() == "postgresql://db/cw"


def test_a_person_is_asked_only_for_what_the_flags_leave_open() -> None:
    asked: list[str] = []

    def prompt(question: str, default: str, parse: Callable[[str], T]) -> T:
        asked.append(question)
        return parse(default)

    ask(Given(preset="across", networks=["ethereum", "base"], rpc=["base=BASE_URL"]), prompt)
    subjects = [question.partition(" (")[0] for question in asked]
    assert subjects == ["RPC endpoints of ethereum", "Receivers", "Database"]


def test_the_answers_of_a_person_are_taken() -> None:
    answers = ask(Given(), answering("nomad", "ethereum, moonbeam", "", "A_URL B_URL", "console discord", ""))
    assert answers == Answers(
        "nomad",
        (
            ChosenNetwork("ethereum", 1, ("ETHEREUM_RPC_URL",)),
            ChosenNetwork("moonbeam", 1284, ("A_URL", "B_URL")),
        ),
        (ChosenReceiver("console"), ChosenReceiver("discord", "DISCORD_WEBHOOK_URL")),
    )


def test_a_contract_of_ones_own_is_watched_on_networks_that_are_not_known(tmp_path: Path) -> None:
    plan = created(OWN_FLOW, tmp_path)
    assert {n.name: n.chain_id for n in plan.settings.networks.values()} == {"left": 31337, "right": 31338}
    (flow,) = plan.flows
    assert (flow.opening.event.name, flow.expected[0].event.name) == ("FundsDeposited", "FilledRelay")
    assert flow.expected[0].within == 45


def test_events_of_ones_own_contract_may_name_networks_by_an_attribute(tmp_path: Path) -> None:
    flags = replace(OWN_FLOW, network_by="domain", named=["left=10", "right=20"], origin="originChainId")
    plan = created(flags, tmp_path)
    assert [n.attribute("domain") for n in plan.settings.networks.values()] == [10, 20]
    settings = plan.settings.flows["bridge"]
    assert (settings.network_by, settings.expects[0].origin) == ("domain", "originChainId")


def test_a_person_is_asked_for_what_names_networks_and_for_the_origin() -> None:
    flags = replace(OWN_FLOW, rpc=["left=A", "right=B"], receivers=["console"], store="sqlite:///x.db")
    own = ask(flags, answering("domain", "10", "20", "originChainId")).own
    assert own is not None
    assert (own.network_by, own.named, own.origin) == (
        "domain",
        (("left", "10"), ("right", "20")),
        "originChainId",
    )


def test_a_person_is_asked_for_the_addresses_that_no_preset_knows() -> None:
    flags = Given(
        preset="ccip-1.5",
        networks=["ethereum", "base"],
        rpc=["ethereum=A", "base=B"],
        receivers=["console"],
        store="sqlite:///x.db",
    )
    other = SPOKE_POOL.replace("5c7B", "5c7C").lower()
    answers = ask(flags, answering(f"{SPOKE_POOL} {other}", other))
    assert answers.address == (("ethereum", SPOKE_POOL), ("ethereum", other), ("base", other))
    assert f'ethereum = ["{SPOKE_POOL}", "{other}"]\nbase = "{other}"' in write_config(answers)


def test_the_same_answers_write_the_same_text() -> None:
    assert write_config(ask(Given(preset="across"))) == write_config(ask(Given(preset="across")))


def test_every_setting_that_is_not_obvious_is_explained() -> None:
    text = write_config(ask(Given(preset="connext")))
    assert "# Environment variables to set before the start: ETHEREUM_RPC_URL" in text
    assert "chainwatch check" in text
    assert text.count("#") > 15


# --- files --------------------------------------------------------------------------------------------


def test_the_abi_files_are_written_beside_the_configuration(tmp_path: Path) -> None:
    done = create(ask(Given(preset="op-stack")), tmp_path / "new" / "config.toml")
    names = sorted(path.name for path in done.abis_written)
    assert names == ["l2-to-l1-message-passer.json", "optimism-portal.json"]
    assert all(path.parent == tmp_path / "new" / "abi" for path in done.abis_written)
    assert all(json.loads(path.read_text()) for path in done.abis_written)


def test_transactions_in_alerts_about_known_networks_are_links(tmp_path: Path) -> None:
    flags = Given(preset="hyperlane", networks=("ethereum", "base"), receivers=("console",))
    done = create(ask(flags), tmp_path / "chainwatch.toml")
    networks = load_plan(done.config, dict.fromkeys(done.variables, "https://node.example")).settings.networks
    assert {name: str(network.explorer) for name, network in networks.items()} == {
        "ethereum": "https://etherscan.io",
        "base": "https://basescan.org",
    }


def test_an_abi_file_that_is_there_is_kept(tmp_path: Path) -> None:
    mine = tmp_path / "abi" / "across.json"
    mine.parent.mkdir()
    mine.write_text("[]")
    done = create(ask(Given(preset="across")), tmp_path / "config.toml")
    assert done.abis_kept == (mine,)
    assert done.abis_written == ()
    assert mine.read_text() == "[]"


def test_an_existing_file_is_overwritten_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("mine")
    with pytest.raises(InitError, match=r"exists already.*--force"):
        create(ask(Given()), path)
    assert path.read_text() == "mine"
    create(ask(Given()), path, force=True)
    assert "[networks.ethereum]" in path.read_text()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InitError, match=r"file.*cannot be written"):
        create(ask(Given()), tmp_path / "file" / "config.toml")


def test_the_repository_and_the_package_hold_the_same_abis() -> None:
    """The repository holds those that its examples use."""
    folder = ROOT / "chainwatch" / "init" / "presets" / "abi"
    inside = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    outside = {path.name: path.read_bytes() for path in (ROOT / "abi").glob("*.json")}
    assert outside.items() <= inside.items()
    assert {f"{name}.json" for preset in PRESETS.values() for name in preset.abis} == set(inside)


def test_the_connext_preset_agrees_with_the_chain_data() -> None:
    chains = json.loads((ROOT / "tests" / "data" / "connext" / "chains.json").read_text())
    text = write_config(ask(Given(preset="connext")))
    known = {str(entry) for entry in _leaves(chains)}
    for network in ask(Given(preset="connext")).networks:
        domain = PRESETS["connext"].attributes[network.name]["domain"]
        assert str(domain) in known
        assert f"domain = {domain}" in text
    for line in text.splitlines():
        if '"0x' in line:
            address = line.split('"')[1]
            assert address.lower() in {leaf.lower() for leaf in known}
            assert address == checksum_address(bytes.fromhex(address[2:]))


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for key, part in value.items() for leaf in (key, *_leaves(part))]
    if isinstance(value, list):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]


# --- answers that cannot be used ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (Given(preset="conext"), "--preset: expected one of connext.*did you mean .connext"),
        (Given(preset="oft"), 'did you mean "layerzero-oft"'),
        (Given(preset="CCTP"), 'did you mean "cctp-v1" or "cctp-v2"'),
        (Given(preset="op"), 'did you mean "op-stack"'),
        (
            Given(preset="connext", networks=["ethereum", "moonbeam"]),
            "connext is known on .*, not on moonbeam",
        ),
        (Given(preset="connext", networks=["ethereum"]), "needs at least two networks"),
        (Given(preset="connext", networks=["ethereum", "ethereum"]), "given twice"),
        (Given(preset="connext", networks=["ethereum=5", "optimism"]), "the chain id of ethereum is 1"),
        (Given(preset="op-stack", networks=["optimism", "base"]), "op-stack needs ethereum too"),
        (Given(preset="across", rpc=["mars=X"]), "--rpc: expected NETWORK=URL"),
        (
            Given(preset="across", rpc=["base=ftp://x"]),
            "--rpc: expected a variable's name in capitals, or a URL",
        ),
        (
            Given(preset="across", receivers=["pigeon"]),
            f"--receiver: expected one of {', '.join(providers())}$",
        ),
        (Given(preset="across", receivers=["discord=hook"]), "--receiver: expected a variable"),
        (Given(preset=OWN, networks=["left"]), "give its chain id, as left=1234"),
        (Given(preset=OWN, networks=["left=" + "9" * 5_000]), "give its chain id, as left=1234"),
        (Given(preset=OWN, networks=["31337"]), "give its chain id, as mychain=31337"),
        (Given(preset=OWN, networks=["a b=1"]), "is not a name"),
        (Given(preset=OWN), "--network: give at least one"),
        (replace(OWN_FLOW, network_by="a b"), "--network-by: expected chain_id or an attribute"),
        (replace(OWN_FLOW, network_by="domain"), "--named: missing for a network; give its name in events"),
        (replace(OWN_FLOW, network_by="domain", named=["up=1"]), "'up' is not one of the networks"),
        (Given(preset="across", store="mysql://x"), "--store: expected a variable"),
        (Given(preset="ccip-1.5", networks=["ethereum", "base", "linea"]), "ccip-1.5 watches 2 networks"),
        (
            Given(preset="across", address=[f"base={SPOKE_POOL}"]),
            "--address: across knows its contracts' addresses",
        ),
        (Given(preset=OWN, networks=["left=5"]), "--address: needed with --preset own"),
        (Given(preset=OWN, networks=["left=5"], address=["left=0x12"]), "40 hex digits"),
        (Given(preset=OWN, networks=["left=5"], address=["left=0x" + "aB" * 20]), "a right EIP-55 checksum"),
        (Given(preset=OWN, networks=["left=5"], address=["left=0x" + "00" * 20]), "the zero address"),
        (
            Given(preset=OWN, networks=["left=5"], address=[f"right={SPOKE_POOL}"]),
            "'right' is not one of the networks",
        ),
    ],
)
def test_an_answer_that_cannot_be_used_names_its_flag(flags: Given, message: str) -> None:
    with pytest.raises(InitError, match=message):
        ask(flags)


def test_a_duration_that_is_none_names_its_flag() -> None:
    flags = Given(preset=OWN, networks=["left=5"], address=[f"left={SPOKE_POOL}"], within="soon")
    with pytest.raises(InitError, match="--within: expected a duration"):
        ask(flags)


def test_a_url_that_is_refused_is_not_repeated() -> None:
    """S9: it may hold a key."""
    with pytest.raises(InitError) as refused:
        ask(Given(preset="across", rpc=["base=htps://node.example/s3cret"]))
    assert "s3cret" not in str(refused.value)
