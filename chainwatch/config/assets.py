"""Assets whose symbol and decimals are configured instead of asked for."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictInt

from chainwatch.config.types import Deployment, Expected, Table
from chainwatch.support.asset_units import DECIMALS_MAX, SYMBOL_MAX, is_symbol


def _symbol(text: str) -> str:
    if not is_symbol(text):
        raise Expected(f"a symbol such as USDC: at most {SYMBOL_MAX} characters, without blanks")
    return text


Symbol = Annotated[str, AfterValidator(_symbol)]
Decimals = Annotated[StrictInt, Field(ge=0, le=DECIMALS_MAX)]


class AssetSettings(Table):
    """One asset, such as a token. An asset that is not configured is asked for its symbol and decimals."""

    name: str = Field(description="The table's key.")
    symbol: Symbol = Field(
        default_factory=lambda given: given["name"],
        validate_default=True,
        description="What stands beside amounts. Default: the table's key.",
    )
    decimals: Decimals | None = Field(
        default=None,
        description="How many decimals a whole unit has, 0 to 77. Default: what the contract says.",
    )
    address: Deployment = Field(
        description="One address for all networks, or a table: network → address or list of addresses."
    )

    def addresses_on(self, network: str) -> list[str]:
        """Return the checksummed addresses on ``network``; empty where it has none."""
        return [self.address] if isinstance(self.address, str) else self.address.get(network, [])


class CurrencySettings(Table):
    """What a network's fees are paid in, and what the zero address and `0xEeee…` stand for in events."""

    symbol: Symbol = Field(description="Its symbol, such as `ETH`.")
    decimals: Decimals = Field(default=18, description="How many decimals a whole unit has, 0 to 77.")
