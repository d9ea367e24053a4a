"""The networks that presets know: chain ids and block times.

Block times are the usual time between blocks. Compared with `estimateBlockTime` in the npm package
@hyperlane-xyz/registry 26.1.0, which is coarser for fast networks and for those whose blocks come on demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownNetwork:
    """A network whose chain id and block time are known, so that `init` need not ask for them."""

    chain_id: int
    block_time: str
    stall_after: str = ""
    """Set where the default, 20 block times, would raise false alarms."""


KNOWN_NETWORKS: Mapping[str, KnownNetwork] = {
    "ethereum": KnownNetwork(1, "12s"),
    "optimism": KnownNetwork(10, "2s"),
    "cronos": KnownNetwork(25, "1s", "2m"),
    "rootstock": KnownNetwork(30, "25s", "15m"),
    "xdc": KnownNetwork(50, "2s"),
    "bnb": KnownNetwork(56, "750ms", "1m"),
    "gnosis": KnownNetwork(100, "5s"),
    "unichain": KnownNetwork(130, "1s"),
    "polygon": KnownNetwork(137, "2s"),
    "monad": KnownNetwork(143, "400ms", "1m"),
    "sonic": KnownNetwork(146, "1s", "5m"),
    "xlayer": KnownNetwork(196, "1s", "2m"),
    "opbnb": KnownNetwork(204, "500ms", "1m"),
    "fantom": KnownNetwork(250, "1s", "5m"),
    "fraxtal": KnownNetwork(252, "2s"),
    "zksync": KnownNetwork(324, "1s", "5m"),
    "worldchain": KnownNetwork(480, "2s"),
    "hyperevm": KnownNetwork(999, "1s", "2m"),
    "lisk": KnownNetwork(1135, "2s"),
    "moonbeam": KnownNetwork(1284, "6s"),
    "sei": KnownNetwork(1329, "400ms", "1m"),
    "soneium": KnownNetwork(1868, "2s"),
    "swell": KnownNetwork(1923, "2s"),
    "abstract": KnownNetwork(2741, "1s", "5m"),
    "megaeth": KnownNetwork(4326, "1s"),
    "mantle": KnownNetwork(5000, "2s"),
    "base": KnownNetwork(8453, "2s"),
    "plasma": KnownNetwork(9745, "1s"),
    "apechain": KnownNetwork(33139, "2s", "10m"),
    "mode": KnownNetwork(34443, "2s"),
    "arbitrum": KnownNetwork(42161, "250ms", "2m"),
    "arbitrum-nova": KnownNetwork(42170, "250ms", "10m"),
    "celo": KnownNetwork(42220, "1s"),
    "avalanche": KnownNetwork(43114, "2s", "5m"),
    "ink": KnownNetwork(57073, "1s"),
    "linea": KnownNetwork(59144, "2s", "5m"),
    "bob": KnownNetwork(60808, "2s"),
    "berachain": KnownNetwork(80094, "2s"),
    "blast": KnownNetwork(81457, "2s"),
    "plume": KnownNetwork(98866, "1s", "10m"),
    "scroll": KnownNetwork(534352, "3s", "5m"),
    "katana": KnownNetwork(747474, "1s"),
    "zora": KnownNetwork(7777777, "2s"),
}
