"""From one transfer's two transactions to a flow that is shown to match them both."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from chainwatch.chain.decode.abi import Abi, AbiError, load_abi
from chainwatch.chain.receipts import Receipt
from chainwatch.checker.flow import DESTINATION, ORIGIN, FlowExtractor
from chainwatch.config import read_dict
from chainwatch.config.errors import ConfigError
from chainwatch.init import receipts
from chainwatch.init.answers import CHAIN_ID, NUMBER, Answers, ChosenTransaction, InitError, OwnTransfer
from chainwatch.init.presets import PRESETS, shipped_abis
from chainwatch.init.proposal import Numbers, ProposedFlow, propose, with_addresses
from chainwatch.init.text import variables, write_config
from chainwatch.model import Event, Occurrence
from chainwatch.plan import Plan, make_plan

_SHIPPED = files("chainwatch.init.presets").joinpath("abi")
_STAND_IN = "https://node.example"
"""Stands for each environment variable while a proposal is tried."""


async def add_proposal(answers: Answers, folder: Path, environ: Mapping[str, str]) -> Answers:
    """Return ``answers`` with the likeliest flow that matches both of its transactions.

    ``folder`` is that of the configuration, to which ABI files are relative. Raises `InitError` where there is none.
    """
    transfer = answers.transfer
    assert transfer is not None
    abis = _abis(transfer, folder)
    by_name = {name: abi for name, (_, abi) in abis.items()}
    sent, paid = [await _receipt(answers, one, environ) for one in transfer.transactions]
    sides = [
        receipts.side(receipt, one.network, by_name)
        for receipt, one in zip((sent, paid), transfer.transactions, strict=True)
    ]
    if lacking := receipts.missing(sides):
        raise InitError(
            f"--abi: no log of {lacking} decodes with {', '.join(by_name)}: give its contract's ABI"
        )
    for flow in propose(sides[0], sides[1], _numbers(answers, transfer)):
        tried = _completed(flow, transfer, {name: file for name, (file, _) in abis.items()})
        plan = _plan(replace(answers, proposal=tried), folder)
        if plan is not None and _matches(plan, (sides[0].network, sent), (sides[1].network, paid)):
            return replace(answers, proposal=tried if transfer.abis else _with_copies(tried))
    events = [
        f"{', '.join(dict.fromkeys(log.event.name for log in one.logs))} on {one.network}" for one in sides
    ]
    raise InitError(
        f"--transaction: nothing that both sides share identifies a transfer among {'; '.join(events)}. Are they of one "
        "transfer, the one that sent it first? Give the ABIs of all contracts, and how events name networks with "
        "--network-by and --named; or name the events yourself with --opens, --expects and --key"
    )


def _abis(transfer: OwnTransfer, folder: Path) -> dict[str, tuple[str, Abi]]:
    """Return by contract the path of its ABI in the configuration and the ABI; those of all presets where none are given."""
    if not transfer.abis:
        return {name: (str(_SHIPPED.joinpath(f"{name}.json")), abi) for name, abi in shipped_abis().items()}
    found = {}
    for file in transfer.abis:
        try:
            abi = load_abi(folder / file)
        except AbiError as error:
            raise InitError(f"--abi: {error}") from error
        name = (
            "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(file).name.split(".")[0])
            or "contract"
        )
        found[name] = (file, abi)
    return found


async def _receipt(answers: Answers, one: ChosenTransaction, environ: Mapping[str, str]) -> Receipt:
    if one.file:
        return receipts.read_file(Path(one.file), one.network)
    network = next(network for network in answers.networks if network.name == one.network)
    return await receipts.fetch(network, one.tx_hash, environ)


def _numbers(answers: Answers, transfer: OwnTransfer) -> Numbers:
    """Return how events may name the chosen networks: as the user says, or by chain ids and what presets know."""
    if transfer.network_by and transfer.network_by != CHAIN_ID:
        named = {name: int(v) if NUMBER.fullmatch(v) else v for name, v in transfer.named}
        return [(transfer.network_by, named)]
    found: list[tuple[str, Mapping[str, int | str]]] = [
        (CHAIN_ID, {network.name: network.chain_id for network in answers.networks})
    ]
    for preset in () if transfer.network_by else PRESETS.values():
        for attribute in {name for row in preset.attributes.values() for name in row}:
            rows = {n.name: preset.attributes.get(n.name, {}) for n in answers.networks}
            values = {name: row[attribute] for name, row in rows.items() if attribute in row}
            if (attribute, values) not in found:
                found.append((attribute, values))
    return found


def _completed(flow: ProposedFlow, transfer: OwnTransfer, files: Mapping[str, str]) -> ProposedFlow:
    addressed = with_addresses(flow, files, dict(transfer.addresses))
    everywhere = {network for contract in addressed.contracts for network, _ in contract.addresses}
    lacking = {
        contract.name: sorted(everywhere - {network for network, _ in contract.addresses})
        for contract in addressed.contracts
    }
    unsure = [
        *addressed.unsure,
        *(
            f"{name} was not seen on {', '.join(networks)}: add its address there, for the other way"
            for name, networks in lacking.items()
            if networks
        ),
    ]
    return replace(addressed, unsure=tuple(unsure), within=transfer.within or addressed.within)


def _with_copies(flow: ProposedFlow) -> ProposedFlow:
    """Return ``flow`` with the copies of presets' ABIs that are written beside the configuration."""
    contracts = (replace(contract, abi=f"abi/{contract.name}.json") for contract in flow.contracts)
    return replace(flow, contracts=tuple(contracts))


def _plan(answers: Answers, folder: Path) -> Plan | None:
    """Return what the configuration compiles to; None where it does not."""
    environ = dict.fromkeys(variables(answers), _STAND_IN)
    try:
        return make_plan(read_dict(tomllib.loads(write_config(answers)), environ, folder))
    except ConfigError:
        return None


def _matches(plan: Plan, sent: tuple[str, Receipt], paid: tuple[str, Receipt]) -> bool:
    """Return whether both transactions have steps of one transfer, which goes from the one network to the other."""
    opened, followed = _found(plan, *sent), _found(plan, *paid)
    return any(
        o.step == "open"
        and s.step == "complete"
        and o.facts.get(DESTINATION) == paid[0]
        and s.facts.get(ORIGIN, sent[0]) == sent[0]
        for key in opened.keys() & followed.keys()
        for o in opened[key]
        for s in followed[key]
    )


def _found(plan: Plan, network: str, receipt: Receipt) -> dict[tuple[str, str], list[Occurrence]]:
    watch = plan.watches.get(network)
    items = [watch.decode(log) for log in receipt.logs] if watch is not None else []
    extractor = next(one for one in plan.extractors if isinstance(one, FlowExtractor))
    found: dict[tuple[str, str], list[Occurrence]] = extractor.extract(
        item for item in items if isinstance(item, Event)
    ).found
    return found
