"""The networks that presets know: chain ids, block times and block explorers.

Block times are the usual time between blocks. Compared with `estimateBlockTime` in the npm package
@hyperlane-xyz/registry 26.1.0, which is coarser for fast networks and for those whose blocks come on demand.
Explorers: the first of `blockExplorers` there whose family is etherscan, blockscout or routescan.
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
    explorer: str = ""
    """Empty where the package has none with pages `/tx/…` and `/address/…`."""


KNOWN_NETWORKS: Mapping[str, KnownNetwork] = {
    "ethereum": KnownNetwork(1, "12s", explorer="https://etherscan.io"),
    "optimism": KnownNetwork(10, "2s", explorer="https://optimistic.etherscan.io"),
    "cronos": KnownNetwork(25, "1s", "2m", explorer="https://cronoscan.com"),
    "rootstock": KnownNetwork(30, "25s", "15m", explorer="https://rootstock.blockscout.com"),
    "xdc": KnownNetwork(50, "2s"),
    "bnb": KnownNetwork(56, "750ms", "1m", explorer="https://bscscan.com"),
    "gnosis": KnownNetwork(100, "5s", explorer="https://gnosisscan.io"),
    "unichain": KnownNetwork(130, "1s", explorer="https://uniscan.xyz"),
    "polygon": KnownNetwork(137, "2s", explorer="https://polygonscan.com"),
    "monad": KnownNetwork(143, "400ms", "1m", explorer="https://monadscan.com"),
    "sonic": KnownNetwork(146, "1s", "5m", explorer="https://sonicscan.org"),
    "xlayer": KnownNetwork(196, "1s", "2m"),
    "opbnb": KnownNetwork(204, "500ms", "1m", explorer="https://opbnb.bscscan.com"),
    "fantom": KnownNetwork(250, "1s", "5m", explorer="https://ftmscan.com"),
    "fraxtal": KnownNetwork(252, "2s", explorer="https://fraxscan.com"),
    "zksync": KnownNetwork(324, "1s", "5m", explorer="https://explorer.zksync.io"),
    "worldchain": KnownNetwork(480, "2s", explorer="https://worldscan.org"),
    "hyperevm": KnownNetwork(999, "1s", "2m", explorer="https://hyperevmscan.io"),
    "lisk": KnownNetwork(1135, "2s", explorer="https://blockscout.lisk.com"),
    "moonbeam": KnownNetwork(1284, "6s", explorer="https://moonscan.io"),
    "sei": KnownNetwork(1329, "400ms", "1m", explorer="https://seitrace.com"),
    "soneium": KnownNetwork(1868, "2s", explorer="https://soneium.blockscout.com"),
    "swell": KnownNetwork(1923, "2s", explorer="https://explorer.swellnetwork.io"),
    "abstract": KnownNetwork(2741, "1s", "5m", explorer="https://abscan.org"),
    "megaeth": KnownNetwork(4326, "1s", explorer="https://megaeth.blockscout.com"),
    "mantle": KnownNetwork(5000, "2s", explorer="https://explorer.mantle.xyz"),
    "base": KnownNetwork(8453, "2s", explorer="https://basescan.org"),
    "plasma": KnownNetwork(9745, "1s", explorer="https://plasmascan.to"),
    "apechain": KnownNetwork(33139, "2s", "10m", explorer="https://apescan.io"),
    "mode": KnownNetwork(34443, "2s", explorer="https://explorer.mode.network"),
    "arbitrum": KnownNetwork(42161, "250ms", "2m", explorer="https://arbiscan.io"),
    "arbitrum-nova": KnownNetwork(42170, "250ms", "10m", explorer="https://arbitrum-nova.blockscout.com"),
    "celo": KnownNetwork(42220, "1s", explorer="https://celoscan.io"),
    "avalanche": KnownNetwork(43114, "2s", "5m", explorer="https://snowtrace.io"),
    "ink": KnownNetwork(57073, "1s", explorer="https://explorer.inkonchain.com"),
    "linea": KnownNetwork(59144, "2s", "5m", explorer="https://lineascan.build"),
    "bob": KnownNetwork(60808, "2s", explorer="https://explorer.gobob.xyz"),
    "berachain": KnownNetwork(80094, "2s", explorer="https://beratrail.io"),
    "blast": KnownNetwork(81457, "2s", explorer="https://blastscan.io"),
    "plume": KnownNetwork(98866, "1s", "10m", explorer="https://explorer.plume.org"),
    "scroll": KnownNetwork(534352, "3s", "5m", explorer="https://scrollscan.com"),
    "katana": KnownNetwork(747474, "1s", explorer="https://katanascan.com"),
    "zora": KnownNetwork(7777777, "2s", explorer="https://explorer.zora.energy"),
}
