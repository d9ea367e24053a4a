"""`check --online`, on an embedded chain."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chainwatch.chain.errors import NodeError, RangeTooWide
from chainwatch.chain.rpc import Endpoint
from chainwatch.config import read_dict
from chainwatch.demo import scenario
from chainwatch.demo.chain import DemoChain
from chainwatch.operations import online
from chainwatch.operations.online import EndpointCheck
from chainwatch.plan import Plan, make_plan
from tests.support.ports import free_port

CHAIN_ID = 900_001
SECRET = "5ecret-m4rk"


@pytest.fixture
async def chain() -> AsyncIterator[DemoChain]:
    chain = DemoChain(CHAIN_ID, "alpha")
    await chain.start()
    await chain.deploy_bridge(scenario.ALPHA_DOMAIN)
    yield chain
    await chain.stop()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "PATIENCE", 0.2)


def plan(chain: DemoChain, tmp_path: Any, *urls: str, chain_id: int = CHAIN_ID, contract: str = "") -> Plan:
    address = {"alpha": contract or str(chain._bridge)}
    config = scenario.config(chain, DemoChain(900_002, "beta"), address, tmp_path / "x.db")
    del config["networks"]["beta"]
    config["networks"]["alpha"] |= {"rpc": list(urls), "chain_id": chain_id}
    return make_plan(read_dict(config))


async def test_each_endpoint_reports_its_chain_head_and_range(chain: DemoChain, tmp_path: Any) -> None:
    await chain.mine(3)
    found = await online.check_endpoints(plan(chain, tmp_path, chain.http_url, chain.ws_url))
    for index, endpoint in enumerate(found):
        head = chain.head.number
        name = f"alpha[{index}] {chain.http_url.removeprefix('http://')}"
        assert endpoint == EndpointCheck("alpha", name, True, CHAIN_ID, head, head + 1, None)
    assert len(found) == 2


async def test_an_address_without_a_contract_is_a_problem(chain: DemoChain, tmp_path: Any) -> None:
    mistyped = "0x" + "11" * 20
    (found,) = await online.check_endpoints(plan(chain, tmp_path, chain.http_url, contract=mistyped))
    assert (found.ok, found.problem) == (
        False,
        f"no contract has been deployed here: bridge at {mistyped}",
    )


async def test_an_endpoint_that_cannot_say_whether_contracts_are_there_is_fine(
    chain: DemoChain, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unable(*_: Any) -> Any:
        raise NodeError("alpha[0]", "eth_getCode", -32601, "the method does not exist")

    monkeypatch.setattr(online, "read_state", unable)
    (found,) = await online.check_endpoints(plan(chain, tmp_path, chain.http_url))
    assert found.ok


async def test_an_endpoint_of_another_chain_reports_which(chain: DemoChain, tmp_path: Any) -> None:
    for url in (chain.http_url, chain.ws_url):
        (found,) = await online.check_endpoints(plan(chain, tmp_path, url, chain_id=5))
        assert (found.ok, found.chain_id, found.head) == (False, CHAIN_ID, None)
        assert found.problem == f"serves chain {CHAIN_ID}, but chain_id 5 is configured: refused"


async def test_a_dead_endpoint_is_reported_beside_a_good_one_and_without_its_url(
    chain: DemoChain, tmp_path: Any
) -> None:  # S8, S9
    dead = free_port()
    urls = (chain.http_url, f"http://127.0.0.1:{dead}/{SECRET}", f"ws://127.0.0.1:{dead}/{SECRET}")
    good, *bad = await online.check_endpoints(plan(chain, tmp_path, *urls))
    assert good.ok
    for index, endpoint in enumerate(bad, start=1):
        assert endpoint.endpoint == f"alpha[{index}] 127.0.0.1:{dead}"
        assert endpoint.problem is not None
        assert endpoint.problem.startswith("cannot connect")
    assert SECRET not in repr(bad)


async def test_the_range_is_halved_until_the_endpoint_takes_it(
    chain: DemoChain, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await chain.mine(20)
    asked: list[int] = []
    logs = Endpoint.logs

    async def limited(self: Endpoint, wanted: Any, first: int, last: int) -> Any:
        asked.append(last - first + 1)
        if last - first + 1 > 4:
            raise RangeTooWide(self.name, "at most 4 blocks", 4)
        return await logs(self, wanted, first, last)

    monkeypatch.setattr(Endpoint, "logs", limited)
    (found,) = await online.check_endpoints(plan(chain, tmp_path, chain.http_url))
    assert found.log_range == asked[-1] <= 4
    assert found.ok


async def test_an_endpoint_that_takes_no_range_at_all_fails(
    chain: DemoChain, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: Endpoint, *_: Any) -> Any:
        raise RangeTooWide(self.name, "no logs here")

    monkeypatch.setattr(Endpoint, "logs", never)
    (found,) = await online.check_endpoints(plan(chain, tmp_path, chain.http_url))
    assert (found.ok, found.problem) == (False, "no logs here")
    assert found.head == chain.head.number
