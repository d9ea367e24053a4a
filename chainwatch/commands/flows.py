"""The commands that try flows on one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chainwatch.commands.common import plan_of, refusals
from chainwatch.commands.options import as_json

if TYPE_CHECKING:
    from chainwatch.operations.transactions import Transaction
    from chainwatch.plan import Plan


def _one_transaction(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and options that say which transaction."""
    for option in (
        click.argument("tx_hash", required=False),
        click.option("--network", help="The network that it is on. Default: every configured one is asked."),
        click.option(
            "--receipt",
            type=click.Path(path_type=Path),
            help="Read this file, with the JSON of eth_getTransactionReceipt, instead of asking a node.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def flows() -> None:
    """Try the flows on one transaction."""


@flows.command("test")
@_one_transaction
@as_json
@click.pass_obj
def test(config: Path, tx_hash: str | None, network: str | None, receipt: Path | None, as_json: bool) -> None:
    """Show which logs of a transaction are which steps.

    Also what the steps compute, and what is still awaited.
    """
    from chainwatch.commands.show import flows as show
    from chainwatch.operations import flow_testing

    plan = plan_of(config)
    with refusals():
        found = flow_testing.run_flows(plan, _transaction(plan, tx_hash, network, receipt))
    show.flows_test(found, as_json)


@flows.command("find-siblings")
@_one_transaction
@as_json
@click.pass_obj
def find_siblings(
    config: Path, tx_hash: str | None, network: str | None, receipt: Path | None, as_json: bool
) -> None:
    """List all logs of a transaction, decoded.

    With the configured ABIs, else with those of the presets.
    """
    from chainwatch.commands.show import flows as show
    from chainwatch.init.presets import shipped_abis
    from chainwatch.operations import transaction_logs

    plan = plan_of(config)
    with refusals():
        transaction = _transaction(plan, tx_hash, network, receipt)
        found = transaction_logs.find_siblings(plan, transaction, shipped_abis())
    show.siblings(found, as_json)


def _transaction(plan: Plan, tx_hash: str | None, network: str | None, receipt: Path | None) -> Transaction:
    from chainwatch.operations import transactions

    if receipt is not None:
        return transactions.from_file(plan, receipt, tx_hash, network)
    if tx_hash is None:
        raise click.UsageError("which transaction? Give its hash, or its receipt with --receipt FILE")
    return asyncio.run(transactions.fetch(plan, tx_hash, network))
