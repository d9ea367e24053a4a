"""The chains that are watched, and the contracts on them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, StrictInt, ValidationInfo, field_validator, model_validator

from chainwatch.config.assets import CurrencySettings
from chainwatch.config.types import (
    AbiPath,
    Attribute,
    Deployment,
    Duration,
    ExplorerUrl,
    OptionalAddress,
    PositiveDuration,
    RpcUrl,
    Table,
)
from chainwatch.grammar.durations import parse_duration
from chainwatch.support.spelling import nearest

NEAR_MISS = 0.8
"""The likeness (0 to 1) to a known key from which a network's key counts as a misspelling, not as a free attribute."""

SHORTEST_STALL = 30.0
"""The least default of `stall_after` in seconds: a clock may be ten seconds off, and an endpoint a few seconds late."""


class NetworkSettings(Table):
    """One chain. Any further key is a free attribute (an integer or text) by which flows may identify networks."""

    name: str = Field(description="The table's key.")
    chain_id: StrictInt = Field(
        ge=1, le=2**63 - 1, description="EIP-155 chain id; each endpoint is asked for it at start."
    )
    rpc: list[RpcUrl] = Field(
        min_length=1,
        description="Endpoints. `ws(s)://` announces new blocks, `http(s)://` reads; either kind alone works; "
        "several fail over in this order.",
    )
    start_block: StrictInt | None = Field(
        default=None,
        ge=0,
        le=2**32 - 1,
        description="First block to read, on the first run only. Default: the head at that time; where other networks were "
        "read before, as far back as open transfers need.",
    )
    confirmations: StrictInt = Field(
        default=0,
        ge=0,
        le=2**32 - 1,
        description="Blocks to stay behind the head before acting. Reorgs are undone in any case.",
    )
    block_time: PositiveDuration | None = Field(
        default=None,
        description="Usual time between blocks. Without it blocks come on demand, and the network never stalls.",
    )
    stall_after: PositiveDuration | None = Field(
        default_factory=lambda given: (
            max(20 * given["block_time"], SHORTEST_STALL) if given.get("block_time") else None
        ),
        description="Age of the head at which the network counts as stalled and its deadlines are held. "
        'Default: 20 × `block_time`, at least "30s"; never without it.',
    )
    backdated: Duration = Field(
        default=0.0,
        description="By how much blocks may be backdated, as after a sequencer outage: while no new block "
        "comes, deadlines wait that much longer.",
    )
    poll_interval: PositiveDuration = Field(
        default_factory=lambda given: min(max(given.get("block_time") or 1.0, 0.2), 12.0),
        description="Time between polls for the head where no WebSocket announces blocks. "
        'Default: `block_time`, at least "200ms" and at most "12s"; "1s" without it.',
    )
    blind_after: PositiveDuration = Field(
        default=parse_duration("15s"), description="Time without any answer until `NetworkBlind` is raised."
    )
    lagging_after: PositiveDuration = Field(
        default=parse_duration("5m"),
        description="How far reading may be behind the head, in chain time, until `NetworkLagging` is raised.",
    )
    reorg_window: StrictInt = Field(
        default=256,
        ge=1,
        le=2**32 - 1,
        description="Block headers kept to find the common ancestor of a reorg.",
    )
    max_block_range: StrictInt | None = Field(
        default=None,
        ge=1,
        le=2**32 - 1,
        description="Maximum number of blocks in one `eth_getLogs`. Default: determined from the endpoint's answers.",
    )
    request_timeout: PositiveDuration = Field(
        default=parse_duration("10s"), description="Time to wait for one answer."
    )
    max_rps: float | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="Maximum calls in any second to each endpoint, counting each call of a batch; fewer after it "
        "answered 429. Default: no limit.",
    )
    agreement: StrictInt = Field(
        default=1,
        ge=1,
        description="Endpoints that must give the same logs of a block before it counts; at most as many as in `rpc`.",
    )
    trust_bloom: bool = Field(
        default=False,
        description="Whether to skip blocks whose bloom excludes everything watched; a wrong bloom then hides events.",
    )
    multicall: OptionalAddress = Field(
        default="0xcA11bde05977b3631167028862bE2a173976CA11",
        description="Address of the contract Multicall3, by which invariants read many values in one call; where it is not "
        'deployed, they are read one by one. `""`: always one by one.',
    )
    explorer: ExplorerUrl | None = Field(
        default=None,
        description="Block explorer, such as `https://etherscan.io`: transactions (`/tx/…`) and addresses (`/address/…`) in "
        "alerts link to it.",
    )
    currency: CurrencySettings | None = Field(
        default=None,
        description="What fees are paid in, as `{ symbol, decimals }` (decimals: 18 by default): the asset of events that "
        "name the zero address or `0xEeee…`.",
    )
    attributes: dict[str, Attribute] = Field(
        default={}, description="The free attributes, such as `domain`: written beside the other keys."
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_attributes(cls, table: Any) -> Any:
        """Make attributes of unknown keys, unless they look like a misspelt known key."""
        if not isinstance(table, dict):
            return table
        known = set(cls.model_fields)
        free = {key for key in table if key not in known and nearest(key, known, NEAR_MISS) is None}
        rest = {key: value for key, value in table.items() if key not in free}
        return rest | {"attributes": {key: table[key] for key in free}} if free else rest

    @field_validator("agreement")
    @classmethod
    def _check_agreement(cls, agreement: int, given: ValidationInfo) -> int:
        endpoints = len(given.data.get("rpc") or ())
        if endpoints and agreement > endpoints:
            raise ValueError(f"{agreement} endpoints cannot agree where `rpc` names {endpoints}")
        return agreement

    def attribute(self, name: str) -> int | str | None:
        """Return the value by which a flow's ``network_by = name`` names this network; None when it has none."""
        if name == "chain_id":
            return self.chain_id
        return self.name if name == "name" else self.attributes.get(name)


class ContractSettings(Table):
    """One contract: its ABI and where it is deployed."""

    name: str = Field(description="The table's key.")
    abi: AbiPath = Field(description="ABI file (JSON), relative to the config file's folder.")
    address: Deployment = Field(
        description="One address for all networks, or a table: network → address or list of addresses. "
        "Mixed case is checked against EIP-55."
    )

    def addresses_on(self, network: str) -> list[str]:
        """Return the checksummed addresses on ``network``; empty when the contract is not deployed there."""
        return [self.address] if isinstance(self.address, str) else self.address.get(network, [])
