"""A configuration's shape, its defaults, its variables, and what its parts say of each other."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from chainwatch.alerting.providers.console import ConsoleSettings
from chainwatch.alerting.providers.discord import DiscordSettings
from chainwatch.alerting.providers.webhook import WebhookSettings
from chainwatch.config import (
    ConfigError,
    ReceiverSettings,
    Settings,
    from_dict,
    load,
    read,
    settings,
    types,
)
from chainwatch.config.receivers import secret_keys

CONNEXT = "0x8898B472C54c31894e3B9bb83cEA802a5d0e63C6"
OTHER = "0x8f7492DE823025b4CfaAB1D34c58963F2af5DEDA"


@pytest.fixture
def data() -> dict[str, Any]:
    """A small valid configuration, as a dictionary."""
    return copy.deepcopy(
        {
            "networks": {
                "ethereum": {"chain_id": 1, "domain": 11, "rpc": ["ws://a.example"], "block_time": "12s"},
                "optimism": {"chain_id": 10, "domain": 22, "rpc": ["http://b.example"]},
            },
            "contracts": {"connext": {"abi": "abi/connext.json", "address": CONNEXT}},
            "flows": {
                "connext": {
                    "contract": "connext",
                    "key": "transferId",
                    "network_by": "domain",
                    "opens": {"step": "xcall", "event": "XCalled", "destination": "params.destinationDomain"},
                    "expects": [{"step": "execute", "event": "Executed", "within": "30m"}],
                }
            },
            "receivers": {"ops": {"provider": "console"}},
            "routes": [{"receivers": ["ops"]}],
        }
    )


def problems(data: dict[str, Any], environ: dict[str, str] | None = None) -> list[str]:
    """``path: message — hint`` of every problem in ``data``."""
    with pytest.raises(ConfigError) as caught:
        from_dict(data, environ)
    return [line.removeprefix("config: ") for line in str(caught.value).splitlines()]


# --- shape and defaults -------------------------------------------------------------------------------


def test_defaults_are_those_of_the_design(data: dict[str, Any]) -> None:
    loaded = from_dict(data, folder=Path("/etc/chainwatch"))
    assert loaded.store.url.get_secret_value() == "sqlite:////etc/chainwatch/chainwatch.db"
    assert loaded.store.retention == 90 * 86_400
    assert (loaded.log.level, loaded.log.format) == ("info", "auto")
    network = loaded.networks["ethereum"]
    assert (network.confirmations, network.reorg_window, network.max_block_range) == (0, 256, None)
    assert (network.blind_after, network.lagging_after, network.request_timeout) == (15.0, 300.0, 10.0)
    flow = loaded.flows["connext"]
    assert (flow.orphan_grace, flow.orphan_severity, flow.lookback) == (600.0, "P0", 7 * 86_400)
    assert (flow.repeat, flow.key, flow.verify) == ("alert", ["transferId"], [])
    step = flow.expects[0]
    assert (step.on, step.within, step.severity, step.repeat) == ("destination", 1800.0, "P1", None)
    receiver = loaded.receivers["ops"]
    assert (receiver.name, receiver.give_up_after, receiver.send_resolved) == ("ops", 86_400.0, True)
    route = loaded.routes[0]
    assert (route.match, route.continue_, route.group_by) == ({}, False, ["alertname"])
    assert (route.group_wait, route.group_interval, route.repeat_interval) == (5.0, 15.0, 14_400.0)


@pytest.mark.parametrize(
    ("block_time", "stall_after", "poll_interval"),
    [
        ("12s", 240.0, 12.0),
        ("2s", 40.0, 2.0),
        ("250ms", 30.0, 0.25),
        ("50ms", 30.0, 0.2),
        ("1m", 1200.0, 12.0),
        (None, None, 1.0),
    ],
)
def test_staleness_and_polling_follow_the_block_time(
    data: dict[str, Any], block_time: str | None, stall_after: float | None, poll_interval: float
) -> None:
    del data["networks"]["ethereum"]["block_time"]
    if block_time:
        data["networks"]["ethereum"]["block_time"] = block_time
    network = from_dict(data).networks["ethereum"]
    assert (network.stall_after, network.poll_interval) == (stall_after, poll_interval)


def test_unknown_keys_of_a_network_are_attributes_by_which_flows_name_it(data: dict[str, Any]) -> None:
    data["networks"]["ethereum"]["title"] = "Mainnet"
    network = from_dict(data).networks["ethereum"]
    assert network.attributes == {"domain": 11, "title": "Mainnet"}
    named = [network.attribute(name) for name in ("domain", "chain_id", "name", "start_block")]
    assert named == [11, 1, "ethereum", None]


def test_one_address_stands_for_every_network(data: dict[str, Any]) -> None:
    data["contracts"]["connext"]["address"] = CONNEXT.lower()
    assert from_dict(data).contracts["connext"].addresses_on("optimism") == [CONNEXT]


def test_addresses_by_network_are_one_or_several(data: dict[str, Any]) -> None:
    data["contracts"]["connext"]["address"] = {"ethereum": [CONNEXT, OTHER], "optimism": OTHER}
    contract = from_dict(data).contracts["connext"]
    found = [contract.addresses_on(network) for network in ("ethereum", "optimism", "gnosis")]
    assert found == [[CONNEXT, OTHER], [OTHER], []]


def test_relative_paths_refer_to_the_folder_of_the_file(data: dict[str, Any]) -> None:
    data["store"] = {"url": "sqlite:///data/watch.db"}
    loaded = from_dict(data, folder=Path("/etc/chainwatch"))
    assert loaded.contracts["connext"].abi == Path("/etc/chainwatch/abi/connext.json")
    assert loaded.store.url.get_secret_value() == "sqlite:////etc/chainwatch/data/watch.db"


def test_absolute_paths_and_postgresql_urls_stay_as_they_are(data: dict[str, Any]) -> None:
    data["contracts"]["connext"]["abi"] = "/abi.json"
    data["store"] = {"url": "postgresql://user:password@host/db"}
    loaded = from_dict(data)
    assert loaded.contracts["connext"].abi == Path("/abi.json")
    assert loaded.store.url.get_secret_value() == "postgresql://user:password@host/db"
    data["store"] = {"url": "sqlite:////var/watch.db"}
    assert from_dict(data).store.url.get_secret_value() == "sqlite:////var/watch.db"


def test_each_provider_has_its_own_settings(data: dict[str, Any]) -> None:
    data["receivers"] = {
        "a": {"provider": "console"},
        "b": {"provider": "discord", "url": "https://discord.example/x", "username": "watch"},
        "c": {
            "provider": "webhook",
            "url": "http://127.0.0.1:9/",
            "headers": {"X-Key": "k"},
            "timeout": "3s",
        },
    }
    data["routes"] = [{"receivers": ["a", "b", "c"]}]
    found = from_dict(data).receivers
    kinds = [type(found[name]) for name in "abc"]
    assert kinds == [ConsoleSettings, DiscordSettings, WebhookSettings]
    webhook = found["c"]
    assert isinstance(webhook, WebhookSettings)
    assert webhook.headers == {"X-Key": SecretStr("k")}
    assert (webhook.timeout, webhook.allow_private, webhook.secret) == (3.0, False, None)


@pytest.mark.parametrize(
    ("written", "meant"), [("critical", "P0"), ("High", "P1"), ("warning", "P2"), ("p3", "P3")]
)
def test_severities_go_by_either_name(data: dict[str, Any], written: str, meant: str) -> None:
    data["flows"]["connext"]["expects"][0]["severity"] = written
    data["routes"][0]["match"] = {"severity": [written]}
    loaded = from_dict(data)
    assert loaded.flows["connext"].expects[0].severity == meant
    assert loaded.routes[0].match == {"severity": [meant]}


def test_settings_never_change(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        from_dict(data).networks["ethereum"].confirmations = 3  # type: ignore[misc]  # what is tested


def test_s9_no_secret_shows_in_repr(data: dict[str, Any]) -> None:
    data["store"] = {"url": "postgresql://user:S3CR3T@host/db"}
    data["networks"]["ethereum"]["rpc"] = ["wss://S3CR3T.example"]
    data["receivers"]["ops"] = {
        "provider": "webhook",
        "url": "https://S3CR3T.example",
        "secret": "S3CR3T",
        "headers": {"Authorization": "S3CR3T"},
    }
    loaded = from_dict(data)
    assert "S3CR3T" not in repr(loaded) + str(loaded) + loaded.model_dump_json()


def test_s9_the_secret_keys_are_those_whose_models_hold_secrets() -> None:
    def models(base: type[types.Table]) -> list[type[types.Table]]:
        return [base, *(model for derived in base.__subclasses__() for model in models(derived))]

    secret = {
        key
        for model in models(types.Table)
        if not issubclass(model, ReceiverSettings)
        for key, field in model.model_fields.items()
        if "SecretStr" in repr(field)
    }
    assert secret == settings.SECRET_KEYS


def test_s9_each_provider_marks_its_secrets_by_their_types() -> None:
    assert secret_keys("console") == frozenset()
    assert secret_keys("discord") == {"url"}
    assert secret_keys("webhook") == {"url", "secret", "headers", "token"}
    assert secret_keys("pagerduty") == {"url", "routing_key"}
    assert secret_keys("email") == {"password"}
    assert secret_keys("alertmanager") == {"urls"}
    assert secret_keys("exec") == {"env"}


def test_s9_no_value_of_an_unknown_provider_is_repeated(data: dict[str, Any]) -> None:
    data["receivers"]["ops"] = {"provider": "discrod", "token": "S3CR3T", "give_up_after": "S3CR3T"}
    with pytest.raises(ConfigError, match='did you mean "discord"') as caught:
        from_dict(data)
    assert "S3CR3T" not in str(caught.value)


HOOK = {"provider": "webhook", "url": "https://hook.example"}


@pytest.mark.parametrize("empty", ["", " ", "\t\n"])
@pytest.mark.parametrize(
    ("where", "settings"),
    [
        ("receivers.ops.headers.X-Env", {"headers": {"X-Env": "${EMPTY}"}}),
        ("receivers.ops.headers.Authorization", {"headers": {"Authorization": "Bearer ${EMPTY}"}}),
        ("receivers.ops.secret", {"secret": "${EMPTY}"}),
        ("receivers.ops.url", {"url": "https://hook.example/in/${EMPTY}"}),
    ],
)
def test_an_empty_secret_is_refused(
    data: dict[str, Any], empty: str, where: str, settings: dict[str, Any]
) -> None:
    """It would be sent as if it were one, and struck out of every line of the log between all characters."""
    data["receivers"]["ops"] = HOOK | settings
    with pytest.raises(ConfigError) as refused:
        from_dict(data, {"EMPTY": empty})
    assert where in str(refused.value)
    assert "found the empty value of ${EMPTY}" in str(refused.value)
    assert str(refused.value).count("EMPTY") == 1


@pytest.mark.parametrize(
    "settings", [{"headers": {"X-Env": ""}}, {"secret": ""}, {"secret": "k"}, {"secret": "   abc   "}]
)
def test_a_secret_that_is_none_is_refused_where_it_stands_in_the_file(
    data: dict[str, Any], settings: dict[str, Any]
) -> None:
    data["receivers"]["ops"] = HOOK | settings
    with pytest.raises(
        ConfigError, match=r"receivers\.ops\.(headers|secret).*expected a (secret|key)"
    ) as refused:
        from_dict(data)
    assert "abc" not in str(refused.value)


# --- variables ----------------------------------------------------------------------------------------


def test_variables_are_replaced_in_any_text_and_may_be_escaped(data: dict[str, Any]) -> None:
    data["networks"]["ethereum"]["rpc"] = ["wss://${HOST}/${KEY}"]
    data["networks"]["ethereum"]["title"] = "$${HOST} $HOST"
    network = from_dict(data, {"HOST": "h.example", "KEY": "k"}).networks["ethereum"]
    assert network.rpc[0].get_secret_value() == "wss://h.example/k"
    assert network.attributes["title"] == "${HOST} $HOST"


def test_a_variable_s_value_is_not_searched_for_variables(data: dict[str, Any]) -> None:
    data["networks"]["ethereum"]["title"] = "${A}"
    assert from_dict(data, {"A": "${B}"}).networks["ethereum"].attributes["title"] == "${B}"


def test_every_unset_variable_is_reported_once(data: dict[str, Any]) -> None:
    data["networks"]["ethereum"]["rpc"] = ["${A}", "${B}"]
    data["flows"]["connext"]["contract"] = "${C}"
    assert problems(data) == [
        "networks.ethereum.rpc[0]: the environment variable A is not set",
        "networks.ethereum.rpc[1]: the environment variable B is not set",
        "flows.connext.contract: the environment variable C is not set",
    ]


def test_a_variable_that_is_used_often_and_not_set_is_one_problem(data: dict[str, Any]) -> None:
    data["networks"]["ethereum"]["rpc"] = ["${A}", "${A}/x", "${A}/y", "${A}/z", "${A}/w"]
    assert problems(data) == [
        "networks.ethereum.rpc[0]: the environment variable A is not set (used by networks.ethereum.rpc[1], "
        "networks.ethereum.rpc[2], networks.ethereum.rpc[3] and 1 more too)",
    ]


@pytest.mark.parametrize(
    "path",
    [
        ("networks", "ethereum", "chain_id"),
        ("networks", "ethereum", "block_time"),
        ("contracts", "connext", "address"),
        ("flows", "connext", "contract"),
        ("flows", "connext", "network_by"),
        ("flows", "connext", "repeat"),
        ("flows", "connext", "expects", 0, "on"),
        ("flows", "connext", "expects", 0, "severity"),
        ("receivers", "ops", "provider"),
        ("receivers", "ops", "color"),
        ("routes", 0, "receivers", 0),
        ("routes", 0, "group_by"),
        ("store",),
        ("store_url",),
        ("networks",),
        ("external_url",),
    ],
    ids=str,
)
def test_s9_a_variable_s_value_is_never_reported_wherever_it_is_wrong(
    data: dict[str, Any], path: tuple[Any, ...]
) -> None:
    table: Any = data
    for part in path[:-1]:
        table = table[part]
    table[path[-1]] = "${TOKEN}"
    assert "S3CR3T" not in "\n".join(problems(data, {"TOKEN": "https://[S3CR3T"}))


def test_s9_a_step_name_from_a_variable_is_not_reported_when_it_is_taken(data: dict[str, Any]) -> None:
    data["flows"]["connext"]["opens"]["step"] = "${STEP}"
    data["flows"]["connext"]["expects"][0]["step"] = "${STEP}"
    [notified] = problems(data, {"STEP": "S3CR3T"})
    assert "the value of ${STEP}" in notified
    assert "S3CR3T" not in notified


@pytest.mark.parametrize(
    "url", ["postgresql+other://u:S3CR3T@h/d", "sqlite://S3CR3T", "S3CR3T", "ho\u2100st://S3CR3T"]
)
def test_s9_a_wrong_database_url_is_not_reported(data: dict[str, Any], url: str) -> None:
    data["store"] = {"url": url}
    [notified] = problems(data)
    assert notified.startswith("store.url: expected sqlite:///FILE or postgresql://")
    assert "S3CR3T" not in notified


@pytest.mark.parametrize("slip", ["https://user:S3CR3T@host/", "S3CR3T" * 20], ids=["url", "token"])
def test_s9_a_secret_pasted_into_a_wrong_place_is_not_reported(data: dict[str, Any], slip: str) -> None:
    data["contracts"]["connext"]["address"] = slip
    data["flows"]["connext"]["contract"] = slip
    notified = problems(data)
    assert len(notified) == 2
    assert "S3CR3T" not in "".join(notified)


@pytest.mark.parametrize(
    "url", ["https://[::1", "https://host:99999/", "https://", "https:///x", "https://a b/"]
)
def test_impossible_urls_are_refused(data: dict[str, Any], url: str) -> None:
    data["networks"]["ethereum"]["rpc"] = [url]
    assert [notified.partition(":")[0] for notified in problems(data)] == ["networks.ethereum.rpc[0]"]


# --- one part and another -----------------------------------------------------------------------------


def test_one_mistake_hides_no_other(data: dict[str, Any]) -> None:
    data["networks"]["ethereum"]["chain_id"] = 0
    data["networks"]["optimism"]["confirmatons"] = 1
    data["flows"]["connext"]["expects"][0] |= {"within": 5, "on": "optimsm", "contract": "conext"}
    data["routes"][0] |= {"receivers": ["opps"], "group_wiat": "1s"}
    notified = [line.partition(": ")[0] for line in problems(data)]
    assert sorted(notified) == [
        "flows.connext.expects[0].contract",
        "flows.connext.expects[0].on",
        "flows.connext.expects[0].within",
        "networks.ethereum.chain_id",
        "networks.optimism.confirmatons",
        "receivers.ops",
        "routes[0].group_wiat",
        "routes[0].receivers[0]",
    ]


def test_names_of_parts_that_are_not_valid_still_count_as_known(data: dict[str, Any]) -> None:
    data["networks"]["optimism"]["chain_id"] = "ten"
    data["contracts"]["connext"]["address"] = {"optimism": "0x1", "ethereum": CONNEXT}
    data["receivers"]["ops"]["provider"] = "slak"
    notified = [line.partition(": ")[0] for line in problems(data)]
    assert notified == [
        "networks.optimism.chain_id",
        "contracts.connext.address.optimism",
        "receivers.ops.provider",
    ]


def test_a_network_s_name_may_stand_where_a_path_may(data: dict[str, Any]) -> None:
    data["flows"]["connext"]["opens"] |= {"origin": "ethereum", "destination": "optimism", "on": "ethereum"}
    assert from_dict(data).flows["connext"].opens.destination == "optimism"


def test_a_destination_by_name_needs_the_contract_there(data: dict[str, Any]) -> None:
    data["contracts"]["connext"]["address"] = {"ethereum": CONNEXT}
    data["flows"]["connext"]["opens"]["destination"] = "optimism"
    [notified] = problems(data)
    assert notified.startswith('flows.connext.expects[0].on: the step is to be seen on network "optimism"')


def test_a_step_of_another_contract_is_looked_for_at_that_contract_s_addresses(data: dict[str, Any]) -> None:
    data["contracts"]["connext"]["address"] = {"ethereum": CONNEXT}
    data["contracts"]["messenger"] = {"abi": "m.json", "address": {"optimism": OTHER}}
    data["flows"]["connext"]["expects"][0] |= {"contract": "messenger", "on": "optimism"}
    assert from_dict(data).flows["connext"].expects[0].contract == "messenger"


def test_an_opening_step_counts_on_a_network_only(data: dict[str, Any]) -> None:
    data["flows"]["connext"]["opens"]["on"] = "origin"
    assert problems(data) == [
        'flows.connext.opens.on: no network is called "origin" — known: ethereum, optimism'
    ]


def test_a_network_without_the_contract_needs_no_attribute(data: dict[str, Any]) -> None:
    data["contracts"]["connext"]["address"] = {"ethereum": CONNEXT}
    del data["networks"]["optimism"]["domain"]
    assert set(from_dict(data).networks) == {"ethereum", "optimism"}


def test_networks_may_be_named_by_their_own_names_in_events(data: dict[str, Any]) -> None:
    data["flows"]["connext"]["network_by"] = "name"
    assert from_dict(data).flows["connext"].network_by == "name"


@pytest.mark.parametrize("first", [{"continue": True}, {"match": {"severity": "P0"}}])
def test_a_route_is_reached_past_one_that_continues_or_does_not_take_all(
    data: dict[str, Any], first: dict[str, Any]
) -> None:
    data["routes"].insert(0, {"receivers": ["ops"], **first})
    assert len(from_dict(data).routes) == 2


def test_a_route_for_an_unknown_flow_is_reported(data: dict[str, Any]) -> None:
    data["routes"][0]["match"] = {"flow": ["connext", "conext"]}
    assert problems(data) == ['routes[0].match.flow[1]: no flow is called "conext" — did you mean "connext"?']


def test_networks_alone_are_enough(data: dict[str, Any]) -> None:
    assert from_dict({"networks": data["networks"]}).flows == {}


# --- drafts -------------------------------------------------------------------------------------------


def test_a_draft_takes_further_problems_at_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[networks.ethereum]\nchain_id = 1\nrpc = ["ws://a.example"]\nconfirmatons = 1\n')
    draft = read(path, {})
    draft.add(
        ("networks", "ethereum", "chain_id"),
        f"{draft.quote(('networks', 'ethereum', 'chain_id'))} is odd",
        "try 2",
    )
    with pytest.raises(ConfigError) as caught:
        draft.settings()
    assert str(caught.value).splitlines() == [
        f"{path}:2: networks.ethereum.chain_id: 1 is odd — try 2",
        f'{path}:4: networks.ethereum.confirmatons: unknown key — did you mean "confirmations"?',
    ]
    assert caught.value.file == str(path)
    assert draft.line_of(("networks", "ethereum", "rpc", 0)) == 3


def test_a_draft_holds_the_valid_parts(data: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[networks.a]\nchain_id = 1\nrpc = ["ws://a.example"]\n[networks.b]\nchain_id = 0\n')
    assert set(read(path, {}).parts.networks) == {"a"}


def test_a_file_may_have_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'\xef\xbb\xbf[networks.a]\r\nchain_id = 1\r\nrpc = ["ws://a.example"]\r\n')
    loaded: Settings = load(path, {})
    assert loaded.networks["a"].chain_id == 1
    assert loaded.folder == tmp_path


# --- explorers, currencies and assets -----------------------------------------------------------------


def test_an_asset_is_called_as_its_table_and_has_an_address_on_each_network(data: dict[str, Any]) -> None:
    data["assets"] = {"USDC": {"address": {"ethereum": CONNEXT, "optimism": [OTHER]}}}
    asset = from_dict(data).assets["USDC"]
    assert (asset.symbol, asset.decimals) == ("USDC", None)
    assert asset.addresses_on("optimism") == [OTHER]


def test_a_currency_has_18_decimals_unless_it_says_otherwise(data: dict[str, Any]) -> None:
    data["networks"]["ethereum"]["currency"] = {"symbol": "ETH"}
    data["networks"]["optimism"]["currency"] = {"symbol": "X", "decimals": 6}
    networks = from_dict(data).networks
    assert [n.currency and n.currency.decimals for n in networks.values()] == [18, 6]


@pytest.mark.parametrize(
    ("asset", "problem"),
    [
        ({"address": {"nowhere": OTHER}}, 'assets.X.address.nowhere: no network is called "nowhere"'),
        ({"address": OTHER, "decimals": 78}, "assets.X.decimals: "),
        ({"address": OTHER, "decimals": 6.0}, "assets.X.decimals: "),
        ({"address": OTHER, "symbol": "U S D"}, "assets.X.symbol: expected a symbol such as USDC"),
        ({"address": OTHER, "symbol": "U\u202eSD"}, "assets.X.symbol: expected a symbol such as USDC"),
        ({"address": CONNEXT}, 'assets.X.address: asset "A" has this address on ethereum too'),
        ({"address": OTHER, "decimal": 6}, 'assets.X.decimal: unknown key — did you mean "decimals"?'),
    ],
)
def test_a_wrong_asset_is_named_with_its_key(
    data: dict[str, Any], asset: dict[str, Any], problem: str
) -> None:
    data["assets"] = {"A": {"address": {"ethereum": CONNEXT}}, "X": asset}
    assert any(found.startswith(problem) for found in problems(data)), problems(data)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pass@explorer.example",
        "https://explorer.example/?apikey=1",
        "https://explorer.example/#x",
        "https://explorer.example/a b",
        "https://explorer.example/)](x",
        "ftp://explorer.example",
        "javascript:alert(1)",
        "https://",
    ],
)
def test_an_explorer_that_a_message_could_misread_is_refused_unrepeated(
    data: dict[str, Any], url: str
) -> None:
    data["networks"]["ethereum"]["explorer"] = url
    (problem,) = problems(data)
    assert problem.startswith("networks.ethereum.explorer: expected ")
    assert "pass" not in problem
    assert "apikey" not in problem


@pytest.mark.parametrize("url", ["https://a.example", "https://a.example/", "http://127.0.0.1:4000/x/y/"])
def test_an_explorer_may_have_a_port_and_a_path(data: dict[str, Any], url: str) -> None:
    data["networks"]["ethereum"]["explorer"] = url
    assert from_dict(data).networks["ethereum"].explorer == url.rstrip("/")
