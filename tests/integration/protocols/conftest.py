"""Three networks, and each protocol deployed on them once for all tests here."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.protocols.amplifier import Amplifier
from tests.support.protocols.artifacts import ArtifactError
from tests.support.protocols.axelar import Axelar
from tests.support.protocols.cctp import Cctp
from tests.support.protocols.chain import Chain, Chains
from tests.support.protocols.hyperlane import Hyperlane
from tests.support.protocols.layerzero import LayerZero
from tests.support.protocols.wormhole import Wormhole

T = TypeVar("T")


@pytest.fixture(scope="package")
def chains(anvil_binary: Path) -> Iterator[Chains]:
    with ExitStack() as nodes:
        started = [nodes.enter_context(Anvil(anvil_binary, chain_id=number)) for number in (1, 42_161, 8_453)]
        yield Chains(*(Chain.at(node, account) for account, node in enumerate(started)))


@pytest.fixture(scope="package")
def hyperlane(chains: Chains) -> Hyperlane:
    return deployed(lambda: Hyperlane(chains))


@pytest.fixture
def layerzero(chains: Chains) -> LayerZero:
    """Contracts of the test's own: their nonces count what it sends, whatever other tests sent before."""
    return deployed(lambda: LayerZero(dict(zip((30_101, 30_110, 30_184), chains, strict=True))))


@pytest.fixture(scope="package")
def cctp_v1(chains: Chains) -> Cctp:
    return deployed(lambda: Cctp(1, dict(zip((0, 3, 6), chains, strict=True))))


@pytest.fixture(scope="package")
def cctp_v2(chains: Chains) -> Cctp:
    return deployed(lambda: Cctp(2, dict(zip((0, 3, 6), chains, strict=True))))


@pytest.fixture(scope="package")
def axelar(chains: Chains) -> Axelar:
    return deployed(lambda: Axelar(dict(zip(("Ethereum", "arbitrum", "base"), chains, strict=True))))


@pytest.fixture(scope="package")
def amplifier(chains: Chains) -> Amplifier:
    return deployed(lambda: Amplifier(dict(zip(("ethereum", "arbitrum", "base"), chains, strict=True))))


@pytest.fixture(scope="package")
def wormhole(chains: Chains) -> Wormhole:
    return deployed(lambda: Wormhole(dict(zip((2, 23, 30), chains, strict=True))))


def deployed(deploy: Callable[[], T]) -> T:
    try:
        return deploy()
    except ArtifactError as error:
        missing("a protocol's contracts", str(error))
