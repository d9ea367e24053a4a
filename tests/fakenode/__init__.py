"""A scripted node: an invented chain served over HTTP and WebSocket, with the failures of real ones on demand.

In tests: `FakeChain` and `FakeNode`. By hand: ``python -m tests.fakenode SCRIPT`` (see `tests.fakenode.script`).
"""

from tests.fakenode.chain import FakeChain, FakeLog
from tests.fakenode.node import FakeNode, Fault

__all__ = ["FakeChain", "FakeLog", "FakeNode", "Fault"]
