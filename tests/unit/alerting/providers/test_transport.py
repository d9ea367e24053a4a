"""The HTTP client of all providers."""

from __future__ import annotations

from chainwatch.alerting.providers import Server
from chainwatch.alerting.providers.transport import ANSWER_MAX, Transport
from tests.support.receiver import Answer, Receiver


async def test_of_a_receivers_answer_no_more_is_kept_than_its_bound_S10() -> None:
    async with Receiver() as receiver, Transport() as transport:
        receiver.script.append(Answer(200, "x" * (4 * ANSWER_MAX)))
        server = Server(receiver.url, allow_private=True)
        answer = await transport.post(server, b"", {}, who="the webhook", within=10.0)
        assert len(answer.body) == ANSWER_MAX
