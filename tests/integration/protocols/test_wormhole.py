"""Wormhole joins by emitter and sequence number; which of the core's messages are transfers is said by their sender."""

from dataclasses import replace

import pytest

from tests.support.protocols.chain import HOUR, TRANSFER, Chains, Reverted, advance, call_data, number, word
from tests.support.protocols.wormhole import PUBLISHED, Wormhole, messages_in

pytestmark = pytest.mark.anvil

ETHEREUM, ARBITRUM, BASE = 2, 23, 30
REDEEMED = "TransferRedeemed(uint16,bytes32,uint64)"


def test_wormhole_joins_a_transfer_by_its_emitter_and_sequence(wormhole: Wormhole) -> None:
    sites = wormhole.sites
    sent = wormhole.transfer(ETHEREUM, ARBITRUM, 5 * 10**18 + 999)
    log = sent.event(PUBLISHED)
    sequence, nonce, payload, consistency = log.decode_data("(uint64,uint32,bytes,uint8)")
    assert (log.address, log.topics[1]) == (sites[ETHEREUM].core, word(sites[ETHEREUM].bridge))
    assert (nonce, consistency) == (7, 15)
    assert (payload[0], number(payload[1:33])) == (1, 5 * 10**8)
    assert (payload[33:65], number(payload[65:67])) == (word(sites[ETHEREUM].token), ETHEREUM)
    assert (payload[67:99], number(payload[99:101])) == (word(sites[ARBITRUM].chain.account), ARBITRUM)
    assert sent.order(TRANSFER, PUBLISHED) == ["Transfer", "LogMessagePublished"]

    received = wormhole.relay(ETHEREUM, sent)
    redeemed = received.event(REDEEMED)
    assert redeemed.address == sites[ARBITRUM].bridge
    assert (number(redeemed.topics[1]), redeemed.topics[2]) == (ETHEREUM, word(sites[ETHEREUM].bridge))
    assert (number(redeemed.topics[3]), redeemed.data) == (sequence, b"")
    assert (
        number(received.event(TRANSFER).data) == 5 * 10**18
    )  # minted: the wrapped token has 18 decimals, too
    assert received.order(TRANSFER, REDEEMED) == ["TransferRedeemed", "Transfer"]


def test_wormholes_sequence_numbers_count_all_messages_of_one_emitter(
    chains: Chains, wormhole: Wormhole
) -> None:
    site = wormhole.sites[BASE]
    first = messages_in(BASE, wormhole.transfer(BASE, ETHEREUM, 10**18))[0].sequence
    assert messages_in(BASE, wormhole.transfer(BASE, ARBITRUM, 10**18))[0].sequence == first + 1
    attested = chains.base.send(site.bridge, "attestToken(address,uint32)", site.token, 0)
    (attestation,) = messages_in(BASE, attested)
    assert (attestation.sequence, attestation.payload[0]) == (first + 2, 2)

    publish = call_data("publishMessage(uint32,bytes,uint8)", 0, b"of another app", 1)
    (message,) = messages_in(BASE, chains.base.send_together([(site.core, publish)]))
    assert message.sequence == 0
    assert message.emitter != word(site.bridge)


def test_a_wormhole_transfer_is_late_or_forged_but_never_redeemed_twice(
    chains: Chains, wormhole: Wormhole
) -> None:
    sent = wormhole.transfer(ARBITRUM, ETHEREUM, 10**18)
    advance(chains, HOUR)
    assert wormhole.relay(ARBITRUM, sent).timestamp - sent.timestamp >= HOUR
    with pytest.raises(Reverted, match="transfer already completed"):
        wormhole.relay(ARBITRUM, sent)

    (message,) = messages_in(ARBITRUM, sent)
    forged = replace(message, sequence=1_000)
    assert number(wormhole.redeem(forged).event(REDEEMED).topics[3]) == 1_000
    published = [
        log.decode_data("(uint64,uint32,bytes,uint8)")[0] for log in chains.arbitrum.events(PUBLISHED)
    ]
    assert 1_000 not in published
