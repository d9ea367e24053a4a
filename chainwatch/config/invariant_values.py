"""The values of invariants: what is read, of which account, at each check."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from chainwatch.config.assets import Decimals
from chainwatch.config.types import Address, Expected, HttpUrl, Names, PositiveDuration, Table, Text, Texts

KINDS = (
    "call",
    "balance",
    "storage",
    "code_hash",
    "has_code",
    "nonce",
    "proof",
    "block",
    "event",
    "flow",
    "invariant",
    "http",
)
"""What a value can be."""
MEASURES = ("amount", "count", "age", "latency")
"""What a value can be of a flow's transfers."""
PREVIOUS, ACCEPTED = "previous", "accepted"
"""The prefixes under which a condition reads the values of the check before, and those that were accepted last."""
ARGUMENT_NESTING = 16
"""Lists and tables within one another in an argument."""

_SLOTS = 2**256


def _slot(value: object) -> int:
    wanted = "a slot of the storage: a number from 0 on, or text such as 0x3608…"
    if isinstance(value, str) and re.fullmatch("0x[0-9a-fA-F]{1,64}", value):
        return int(value, 16)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _SLOTS:
        raise Expected(wanted)
    return value


def _name(name: str) -> str:
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name in (PREVIOUS, ACCEPTED):
        raise Expected(f"a name of letters, digits and `_`, other than `{PREVIOUS}` and `{ACCEPTED}`")
    return name


def _argument(value: Any, depth: int = 0) -> Any:
    if depth > ARGUMENT_NESTING:
        raise Expected(f"an argument of at most {ARGUMENT_NESTING} lists and tables within one another")
    if isinstance(value, list):
        return [_argument(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {name: _argument(item, depth + 1) for name, item in value.items()}
    if not isinstance(value, int | str):
        raise Expected("an integer, text, true, false, or a list or table of these")
    return value


Argument = Annotated[Any, BeforeValidator(_argument)]
ValueName = Annotated[str, AfterValidator(_name)]
BlockField = Literal[
    "number",
    "timestamp",
    "hash",
    "base_fee",
    "gas_used",
    "gas_limit",
    "state_root",
    "withdrawals_root",
]
ProofField = Literal["storage_hash", "code_hash", "nonce", "balance"]


class ValueSettings(Table):
    """One value of an invariant: one of `call`, `balance`, `storage`, `code_hash`, `has_code`, `nonce`, `proof`, `block`,
    `event`, `flow`, `invariant` and `http` says what it is."""

    network: Texts = Field(
        default=[],
        description="Network it is read on; several with `sum`. Required but with `flow` and "
        "`invariant`, which have networks of their own.",
    )
    contract: Text | None = Field(
        default=None, description="Contract it is read of, which has one address on each of these networks."
    )
    address: Address | None = Field(
        default=None, description="Address it is read of, in place of `contract`."
    )
    call: Text | None = Field(
        default=None,
        description="Function to call: a view function of the contract's ABI by name or signature, or "
        "`function name(type argument, …) view returns (type name, …)`.",
    )
    args: list[Argument] = Field(
        default=[],
        description="The function's arguments. Bytes are text such as `0x12ab`, arrays are lists, tuples are lists or "
        "tables by the names of their components.",
    )
    output: Text | None = Field(
        default=None,
        description="Which of several returned values it is, by name. Default: all of them, as `VALUE.NAME`.",
    )
    balance: StrictBool = Field(default=False, description="`true`: the native balance, in wei.")
    storage: Annotated[int, BeforeValidator(_slot)] | None = Field(
        default=None, description="The slot of the storage whose 32 bytes it is."
    )
    type: Text | None = Field(
        default=None,
        description="With `storage`: the Solidity type of what the slot holds alone, such as `address`, `uint256` or "
        "`bool`, default `bytes32`. With `http`: `int256` (default), `bool`, `string` or `address`.",
    )
    code_hash: StrictBool = Field(
        default=False,
        description="`true`: the Keccak-256 hash of the code at the address, that of no bytes where there is none.",
    )
    has_code: StrictBool = Field(
        default=False, description="`true`: whether there is code at the address, true or false."
    )
    nonce: StrictBool = Field(
        default=False,
        description="`true`: how many transactions the address has sent, or contracts it has created.",
    )
    proof: ProofField | None = Field(
        default=None,
        description="What `eth_getProof` says of the account: its `storage_hash` (the root of its storage), `code_hash`, "
        "`nonce` or `balance`.",
    )
    block: BlockField | None = Field(
        default=None,
        description="Of the block: its `number`, `timestamp` (Unix seconds), `hash`, `base_fee` (wei), `gas_used`, "
        "`gas_limit`, `state_root` or `withdrawals_root`.",
    )
    event: Text | None = Field(
        default=None, description="Event of `contract` whose stored occurrences count."
    )
    take: Literal["count", "sum", "last"] = Field(
        default="count",
        description="What of the events: how many there are, the sum of an argument, or its last value.",
    )
    of: Text | None = Field(
        default=None,
        description="The argument of `sum`, an integer, and of `last`, or a path to one, such as `params.amount`.",
    )
    where: Text | None = Field(
        default=None,
        description="With `event`: condition on the event, in the language of [conditions](conditions.md); only events that "
        "satisfy it count.",
    )
    at_once: StrictBool = Field(
        default=False,
        description="With `event`: `true` has the invariant also checked at each block with such an event, whatever `every` "
        "says.",
    )
    within: PositiveDuration | None = Field(
        default=None,
        description="How long before the block events, or transfers that ended, count. Required with `event` and `latency`.",
    )
    http: HttpUrl | None = Field(
        default=None,
        description="Address of a JSON document that claims something, such as a supply, asked for (GET) when a new block "
        "of `network` is checked. Secret.",
        examples=["https://api.example.org/supply"],
    )
    path: Text | None = Field(
        default=None,
        description="With `http`: where the value is in the document, such as `data.chains[0].supply`. Default: the whole "
        "document.",
    )
    allow_private: StrictBool = Field(
        default=False, description="With `http`: allow loopback and private addresses."
    )
    invariant: Text | None = Field(
        default=None,
        description="A value of another invariant of the file, as `NAME.VALUE`, read for this one's own checks.",
    )
    flow: Text | None = Field(
        default=None,
        description="Flow whose transfers count, as of the moment of the check; with one of `amount`, `count`, `age` and "
        "`latency`.",
    )
    amount: Literal["in_flight"] | None = Field(
        default=None, description='With `flow`: `"in_flight"`, the sum of the amounts that are under way.'
    )
    count: Literal["in_flight"] | None = Field(
        default=None, description='With `flow`: `"in_flight"`, how many transfers are under way.'
    )
    age: Literal["oldest"] | None = Field(
        default=None,
        description='With `flow`: `"oldest"`, for how many seconds the oldest transfer has been under way; 0 for none.',
    )
    latency: Annotated[int, Field(ge=1, le=100, strict=True)] | None = Field(
        default=None,
        description="With `flow`: this percentile, 1 to 100, of the seconds that transfers took which ended in the time "
        "`within`; 0 for none.",
    )
    asset: Names | None = Field(
        default=None,
        description="With `flow`: names of `[assets]`; other transfers do not count. Default: any asset.",
    )
    decimals: Decimals | None = Field(
        default=None,
        description="With `amount`: all amounts are converted to so many decimals. Default: in the smallest unit of each. "
        'With `http`: the document has whole units, so that with 6 decimals "1.5" is 1500000.',
    )
    origin: Names | None = Field(
        default=None,
        description="With `flow`: networks from which transfers count. Default: all of the flow.",
    )
    destination: Names | None = Field(
        default=None, description="With `flow`: networks to which transfers count. Default: all of the flow."
    )
    until: Text | None = Field(
        default=None,
        description="With `flow`: the step with which a transfer is no longer under way. Default: all of its steps.",
    )
    sum: StrictBool = Field(default=False, description="`true`: the sum over several networks.")

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return self._kinds()[0]

    def _kinds(self) -> list[str]:
        return [
            kind for kind in KINDS if getattr(self, kind) is not None and getattr(self, kind) is not False
        ]

    @property
    def measures(self) -> list[str]:
        """Which of `MEASURES` it names."""
        return [name for name in MEASURES if getattr(self, name) is not None]

    @model_validator(mode="after")
    def _is_one_value(self) -> Self:
        kinds = self._kinds()
        if len(kinds) != 1:
            raise Expected(f"exactly one of {', '.join(KINDS)}")
        (kind,) = kinds
        self._check_account(kind)
        self._check_keys(kind)
        self._check_flow(kind)
        if kind == "invariant" and (self.network or self.sum):
            raise Expected("neither `network` nor `sum` with `invariant`: that value has its own")
        if len(set(self.network)) < len(self.network):
            raise Expected("each network once")
        if kind in ("flow", "invariant"):
            return self
        if not self.network:
            raise Expected("`network`: where it is read")
        if self.sum != (len(self.network) > 1):
            raise Expected("`sum = true` with several networks, and only there")
        return self

    def _check_account(self, kind: str) -> None:
        if kind in ("block", "flow", "invariant", "http"):
            if self.contract or self.address:
                raise Expected(f"neither `contract` nor `address` with `{kind}`")
        elif kind == "event":
            if self.contract is None:
                raise Expected(
                    "`contract` with `event`; with `address`, too, only events of that address count"
                )
        elif (self.contract is None) == (self.address is None):
            raise Expected("either `contract` or `address`")

    def _check_keys(self, kind: str) -> None:
        if kind == "event":
            if self.within is None:
                raise Expected("`within` with `event`: how long before the block events count")
            if (self.of is None) != (self.take == "count"):
                raise Expected("`of` with `take` = sum or last, and only there")
        elif self.of or self.where or self.at_once or self.take != "count":
            raise Expected("`take`, `of`, `where` and `at_once` only with `event`")
        if self.within and kind != "event" and self.latency is None:
            raise Expected("`within` only with `event` and `latency`")
        if kind != "call" and (self.args or self.output):
            raise Expected("`args` and `output` only with `call`")
        if kind not in ("storage", "http") and self.type:
            raise Expected("`type` only with `storage` and `http`")
        if kind != "http" and (self.path or self.allow_private):
            raise Expected("`path` and `allow_private` only with `http`")
        if kind == "http" and self.sum:
            raise Expected("one network with `http`: that at whose blocks it is asked for")

    def _check_flow(self, kind: str) -> None:
        if kind != "flow":
            only = [*self.measures, *(name for name in _OF_FLOWS if getattr(self, name) is not None)]
            only = [name for name in only if (kind, name) != ("http", "decimals")]
            if only:
                raise Expected(f"`{only[0]}` only with `flow`")
            return
        if len(self.measures) != 1:
            raise Expected(f"exactly one of {', '.join(MEASURES)} with `flow`")
        if self.network or self.sum:
            raise Expected("neither `network` nor `sum` with `flow`: `origin` and `destination` limit it")
        if self.decimals is not None and (self.amount is None or self.asset is None):
            raise Expected("`amount` and `asset` with `decimals`")
        if (self.latency is None) != (self.within is None):
            raise Expected("`within` with `latency`")


_OF_FLOWS = ("asset", "decimals", "origin", "destination", "until")
