"""Axelar approves a call under a command id; the execution tells of nothing else."""

from dataclasses import replace

import pytest
from eth_utils.crypto import keccak

from tests.support.protocols.axelar import CONTRACT_CALL, Axelar, calls_in
from tests.support.protocols.chain import HOUR, Chains, Log, Reverted, address_of, advance, call_data

pytestmark = pytest.mark.anvil

APPROVED = "ContractCallApproved(bytes32,string,string,address,bytes32,bytes32,uint256)"
CALL_EXECUTED = "ContractCallExecuted(bytes32)"
COMMAND_EXECUTED = "Executed(bytes32)"
GAS_PAID = "NativeGasPaidForContractCall(address,string,string,bytes32,uint256,address)"


def approval(log: Log) -> tuple[str, str, bytes, int]:
    """The origin's chain, the sender, the origin's transaction and the event's index that an approval names."""
    chain, sender, transaction, index = log.decode_data("(string,string,bytes32,uint256)")
    return chain, sender, transaction, index


def test_axelar_approves_a_call_by_its_transaction_and_executes_it_by_command(axelar: Axelar) -> None:
    sent = axelar.call("Ethereum", "arbitrum", "a value")
    call = sent.event(CONTRACT_CALL)
    app = axelar.sites["arbitrum"].app
    destination, contract, payload = call.decode_data("(string,string,bytes)")
    assert (destination, contract.lower()) == ("arbitrum", app)
    assert address_of(call.topics[1]) == axelar.sites["Ethereum"].app
    assert call.topics[2] == keccak(payload)
    paid = sent.event(GAS_PAID)
    assert (paid.topics[1:3], paid.index) == (call.topics[1:3], call.index - 1)

    approved, executed = axelar.relay("Ethereum", sent)
    log = approved.event(APPROVED)
    chain, sender, transaction, index = approval(log)
    assert (chain, sender.lower()) == ("Ethereum", axelar.sites["Ethereum"].app)
    assert (transaction.hex(), index) == (sent.transaction_hash[2:], sent.logs.index(call))
    assert (address_of(log.topics[2]), log.topics[3]) == (app, keccak(payload))
    assert approved.order(APPROVED, COMMAND_EXECUTED) == ["ContractCallApproved", "Executed"]
    last = executed.event(CALL_EXECUTED)
    assert (last.topics[1:], last.data) == ((log.topics[1],), b"")
    assert (last.address, last.topics[1]) == (
        axelar.sites["arbitrum"].gateway,
        approved.event(COMMAND_EXECUTED).topics[1],
    )


def test_axelars_calls_alike_differ_only_by_where_they_were_sent(chains: Chains, axelar: Axelar) -> None:
    site = axelar.sites["base"]
    arguments = ("Ethereum", axelar.sites["Ethereum"].app, b"the same")
    call = (site.gateway, call_data("callContract(string,string,bytes)", *arguments))
    sent = chains.base.send_together([call, call])
    calls = calls_in("base", sent)
    first, second = sent.events(CONTRACT_CALL)
    assert (first.topics, first.data) == (second.topics, second.data)
    assert [call.index for call in calls] == [0, 1]

    approved = axelar.approve("Ethereum", [(call.command, call) for call in calls])
    assert approved.order(APPROVED, COMMAND_EXECUTED) == ["ContractCallApproved", "Executed"] * 2
    assert [approval(log)[3] for log in approved.events(APPROVED)] == [0, 1]
    assert len({log.topics[1] for log in approved.events(APPROVED)}) == 2


def test_axelars_event_index_counts_within_the_transaction_not_the_block(axelar: Axelar) -> None:
    site = axelar.sites["Ethereum"]
    with site.chain.anvil.one_block():
        hashes = [site.chain.submit(site.app, "set(string,string)", "base", value) for value in ("a", "b")]
    receipts = [site.chain.receipt(sent) for sent in hashes]
    assert len({receipt.block_number for receipt in receipts}) == 1
    assert [receipt.event(CONTRACT_CALL).index for receipt in receipts] == [0, 1]
    assert [calls_in("Ethereum", receipt)[0].index for receipt in receipts] == [0, 0]


def test_an_axelar_call_is_late_forged_or_executed_twice_under_two_commands(
    chains: Chains, axelar: Axelar
) -> None:
    sent = axelar.call("arbitrum", "Ethereum", "late")
    (call,) = calls_in("arbitrum", sent)
    with pytest.raises(Reverted):
        axelar.execute(call)
    advance(chains, HOUR)
    approved, executed = axelar.relay("arbitrum", sent)
    assert executed.timestamp - sent.timestamp >= HOUR
    assert axelar.approve("Ethereum", [(call.command, call)]).logs == ()
    with pytest.raises(Reverted):
        axelar.execute(call)

    another = keccak(text="another command for the same call")
    again = axelar.approve("Ethereum", [(another, call)])
    assert approval(again.event(APPROVED)) == approval(approved.event(APPROVED))
    assert axelar.execute(call, another).event(CALL_EXECUTED).topics[1] == another

    forged = replace(call, transaction=keccak(text="no transaction"))
    axelar.approve("Ethereum", [(forged.command, forged)])
    assert axelar.execute(forged).event(CALL_EXECUTED).topics[1] == forged.command
