"""What stands beside an amount, a transaction or an address where people read it: ``42 USDC``, a link to an explorer.

Alerts are stored with raw values; what is beside them is added whenever they are shown, from the configuration and from what
assets said of themselves (`chainwatch.store.assets`). So nothing waits for an asset's answer, a later message shows what an
earlier one could not, and a replay's result depends on the configuration alone (S7). Nothing here asks a node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.config import Settings
from chainwatch.presentation.message_template import MessageTemplate
from chainwatch.store import assets as stored
from chainwatch.store.assets import AssetId
from chainwatch.support.asset_units import in_units

NETWORK_OF = "_network"
"""Ends the name of an annotation that names the network of another one's value: ``fill_tx_network`` that of ``fill_tx``."""
FORMATTED, URL = "_formatted", "_url"
"""End the names under which machines get the amount in units of its asset, and links."""

_NATIVE = frozenset({bytes(20), b"\xee" * 20})
"""The addresses that stand for a network's own currency in events."""
_HASH = re.compile("0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile("0x(?:0{24})?([0-9a-fA-F]{40})")
_AMOUNT = re.compile("-?[0-9]{1,78}")


class Asset(NamedTuple):
    """By what amounts of an asset become readable."""

    symbol: str
    decimals: int


class Shown(msgspec.Struct, frozen=True):
    """What is shown beside an annotation's value: an amount in units, the network, and a link for each value in it."""

    formatted: str = ""
    network: str = ""
    links: Mapping[str, str] = {}


class _Configured(NamedTuple):
    symbol: str
    decimals: int | None


@dataclass(frozen=True)
class Presenter:
    """Explorers and currencies by network, and assets, as configured. Without any, everything is shown raw.

    ``templates`` are those of messages by name, ``template_of`` their names by receiver.
    """

    explorers: Mapping[str, str] = field(default_factory=dict)
    currencies: Mapping[str, Asset] = field(default_factory=dict)
    configured: Mapping[AssetId, _Configured] = field(default_factory=dict)
    templates: Mapping[str, MessageTemplate] = field(default_factory=dict)
    template_of: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the presenter of a configuration."""
        networks = settings.networks
        return cls(
            {name: network.explorer for name, network in networks.items() if network.explorer},
            {
                name: Asset(n.currency.symbol, n.currency.decimals)
                for name, n in networks.items()
                if n.currency
            },
            {
                (network, bytes.fromhex(address[2:])): _Configured(asset.symbol, asset.decimals)
                for asset in settings.assets.values()
                for network in networks
                for address in asset.addresses_on(network)
            },
            {name: MessageTemplate.of(template) for name, template in settings.templates.items()},
            {name: one.template for name, one in settings.receivers.items() if one.template is not None},
        )

    def template(self, receiver: str, route: str) -> MessageTemplate | None:
        """Return the template of messages to ``receiver``; ``route``: the name of the one that the route sets, or empty."""
        return self.templates.get(route or self.template_of.get(receiver, ""))

    def is_asked(self, asset: AssetId) -> bool:
        """Return whether the contract of ``asset`` has to say what is not configured."""
        configured = self.configured.get(asset)
        return asset[1] not in _NATIVE and (configured is None or configured.decimals is None)

    def is_named(self, asset: AssetId) -> bool:
        """Return whether the configuration names ``asset``, whose symbol nobody else then chooses."""
        return asset in self.configured or (asset[1] in _NATIVE and asset[0] in self.currencies)

    def assets(self, ids: Iterable[AssetId], connection: sa.Connection | None = None) -> dict[AssetId, Asset]:
        """Return those of ``ids`` whose units are known; without ``connection``, by the configuration alone."""
        known: dict[AssetId, Asset] = {}
        unsaid: list[AssetId] = []
        for one in ids:
            configured = self.configured.get(one)
            if configured is not None and configured.decimals is not None:
                known[one] = Asset(configured.symbol, configured.decimals)
            elif one[1] in _NATIVE and one[0] in self.currencies:
                known[one] = self.currencies[one[0]]
            elif self.is_asked(one):
                unsaid.append(one)
        if unsaid and connection is not None:
            for one, said in stored.load(connection, unsaid).items():
                symbol = self.configured[one].symbol if one in self.configured else said.symbol
                if symbol is not None and said.decimals is not None:
                    known[one] = Asset(symbol, said.decimals)
        return known

    def transaction_url(self, network: str, tx_hash: str) -> str | None:
        """Return the page of a transaction; None without an explorer, or for what is no hash."""
        explorer = self.explorers.get(network)
        return f"{explorer}/tx/{tx_hash}" if explorer and _HASH.fullmatch(tx_hash) else None

    def block_url(self, network: str, number: int) -> str | None:
        """Return the page of a block; None without an explorer."""
        explorer = self.explorers.get(network)
        return f"{explorer}/block/{number}" if explorer else None

    def address_url(self, network: str, address: str) -> str | None:
        """Return the page of an address, of 20 bytes or padded to 32; None without an explorer, or for no address."""
        explorer, found = self.explorers.get(network), _ADDRESS.fullmatch(address)
        return f"{explorer}/address/0x{found[1]}" if explorer and found else None

    def show(
        self, alerts: Iterable[Alert], connection: sa.Connection | None = None
    ) -> list[dict[str, Shown]]:
        """Return for each of ``alerts`` what is beside its annotations, by their names; ``connection`` is as for `assets`.

        Only for alerts about transfers and events of chains: another program's texts never become links.
        """
        own = [alert if alert.source in ("transfer", "event") else None for alert in alerts]
        ids = {found for alert in own if alert is not None and (found := _asset_of(alert)) is not None}
        assets = self.assets(ids, connection)
        return [{} if alert is None else dict(self._shown(alert, assets)) for alert in own]

    def _shown(self, alert: Alert, assets: Mapping[AssetId, Asset]) -> Iterable[tuple[str, Shown]]:
        for name, value in alert.annotations.items():
            network = alert.annotations.get(name + NETWORK_OF)
            if name == "amount" and network is not None:
                asset = assets.get(_asset_of(alert) or ("", b""))
                yield name, Shown(amount_in(asset, value))
            elif network is not None:
                yield name, Shown(network=network, links=self._links(network, value))
            elif alert.source == "event" and (links := self._links(alert.labels.get("network", ""), value)):
                yield name, Shown(links=links)

    def _links(self, network: str, value: str) -> dict[str, str]:
        """Return, by each transaction hash or address in ``value``, which has commas between them, its page."""
        found = {
            one: self.transaction_url(network, one) or self.address_url(network, one)
            for one in value.split(", ")
        }
        return {one: url for one, url in found.items() if url is not None}


RAW = Presenter()
"""Shows everything raw."""


def alert_page(external_url: str, alert_id: int) -> str:
    """Return the address of an alert on the page of the server at ``external_url``; empty without one."""
    return f"{external_url.rstrip('/')}/ui/alerts/{alert_id}" if external_url else ""


def amount_in(asset: Asset | None, amount: str) -> str:
    """Return ``amount``, a raw integer as text, in units of ``asset``; empty where it is unknown."""
    if asset is None or not _AMOUNT.fullmatch(amount):
        return ""
    return in_units(int(amount), asset.symbol, asset.decimals)


def asset_id(network: str, asset: str) -> AssetId | None:
    """Return the id of ``asset``, an address (20 bytes, or padded to 32), on ``network``; None for anything else."""
    found = _ADDRESS.fullmatch(asset)
    return (network, bytes.fromhex(found[1])) if found else None


def published(annotations: Mapping[str, str], shown: Mapping[str, Shown]) -> dict[str, str]:
    """Return ``annotations`` as machines get them: with ``amount_formatted`` and, for each with links, ``NAME_url``."""
    added: dict[str, str] = {}
    for name, one in shown.items():
        if one.formatted:
            added[name + FORMATTED] = one.formatted
        if one.links:
            added[name + URL] = ", ".join(one.links.values())
    return {**annotations, **added}


def _asset_of(alert: Alert) -> AssetId | None:
    """Return the asset of the alert's amount; None where they are not of the same event."""
    network = alert.annotations.get("amount" + NETWORK_OF)
    return None if network is None else asset_id(network, alert.annotations.get("asset", ""))
