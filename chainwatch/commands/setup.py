"""The commands before the first run: write a configuration, check it, set up shell completion."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from chainwatch.commands.common import FAILED, can_ask, plan_of
from chainwatch.commands.options import as_json

T = TypeVar("T")


_PRESETS = """\
connext, across, op-stack, nomad, layerzero-oft, layerzero-endpoint, stargate-v2, hyperlane, ccip, ccip-1.5, cctp-v1,
cctp-v2, wormhole-token-bridge, axelar-gmp, debridge, cbridge, arbitrum, zksync-era, polygon-pos, safe, or own for another
contract."""


@click.command()
@click.option("--preset", default="", help=_PRESETS)
@click.option(
    "--network", "networks", multiple=True, metavar="NAME[=CHAIN_ID]", help="A network (repeatable)."
)
@click.option("--rpc", multiple=True, metavar="NETWORK=URL|VARIABLE", help="An endpoint (repeatable).")
@click.option(
    "--receiver",
    "receivers",
    multiple=True,
    metavar="PROVIDER[=URL|VARIABLE]",
    help="A receiver of notifications (repeatable).",
)
@click.option("--store", default="", metavar="URL|VARIABLE", help="The database.")
@click.option(
    "--transaction",
    "transactions",
    multiple=True,
    metavar="NETWORK=HASH",
    help="With --preset own: a transaction that sent, then the one that paid out; the flow is proposed from them.",
)
@click.option(
    "--receipt",
    "receipts",
    multiple=True,
    metavar="NETWORK=FILE",
    help="In place of --transaction: the JSON of eth_getTransactionReceipt.",
)
@click.option(
    "--abi",
    multiple=True,
    metavar="FILE",
    help="With --preset own: an ABI file (repeatable with --transaction).",
)
@click.option(
    "--address",
    multiple=True,
    metavar="[CONTRACT@]NETWORK=0x…",
    help="With --preset own, layerzero-oft and ccip-1.5: the contract's address on a network (repeatable).",
)
@click.option(
    "--opens", default="", metavar="EVENT", help="With --preset own: the event that opens a transfer."
)
@click.option("--expects", default="", metavar="EVENT", help="With --preset own: the event that must follow.")
@click.option("--key", default="", help="With --preset own: the argument that both events share.")
@click.option(
    "--network-by",
    default="",
    metavar="ATTRIBUTE",
    help="With --preset own: how the events identify networks: chain_id, or an attribute such as domain.",
)
@click.option(
    "--named",
    multiple=True,
    metavar="NETWORK=VALUE",
    help="With --network-by: the network's name in the events (repeatable).",
)
@click.option(
    "--destination",
    default="",
    help="With --preset own: the argument of the opening event that names the destination.",
)
@click.option(
    "--origin", default="", help="With --preset own: the argument of the later event that names the origin."
)
@click.option("--within", default="", help="With --preset own: the time a transfer may take, such as 30m.")
@click.option("--yes", is_flag=True, help="Ask nothing: use the defaults for options not given.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.pass_obj
def init(config: Path, /, yes: bool, force: bool, **given: Any) -> None:
    """Write a commented configuration, from options or by asking."""
    from chainwatch.init import proposing, questions, wizard
    from chainwatch.init.answers import OWN, InitError

    uses_defaults = yes or given["preset"] not in ("", OWN) or not can_ask()
    prompt: questions.Prompt = questions.defaults if uses_defaults else _prompt
    try:
        answers = questions.ask(questions.Given(**given), prompt)
        if answers.transfer is not None:
            answers = asyncio.run(proposing.add_proposal(answers, config.parent, os.environ))
        created = wizard.create(answers, config, force)
    except InitError as error:
        raise click.UsageError(str(error)) from error
    for file in (created.config, *created.abis_written):
        click.echo(f"written: {file}")
    for file in created.abis_kept:
        click.echo(f"kept as it was: {file}")
    for paragraph in created.explanation:
        click.echo(paragraph)
    if created.variables:
        click.echo(f"set these variables before the start: {', '.join(created.variables)}")
    click.echo(f"then: chainwatch --config {created.config} check --online")


@click.command()
@click.option(
    "--online",
    "ask",
    is_flag=True,
    help="Also ask every endpoint for its chain id, head, log range and contracts, and try to reach every receiver.",
)
@as_json
@click.pass_obj
def check(config: Path, ask: bool, as_json: bool) -> None:
    """Check the configuration and report every mistake at once."""
    from chainwatch.commands.show import watching as show
    from chainwatch.operations import online, rota

    plan = plan_of(config)
    found, receivers = asyncio.run(online.check(plan)) if ask else ([], [])
    show.check(plan, found, receivers, rota.gaps_ahead(plan.settings, time.time()), as_json)
    if not (all(one.ok for one in found) and all(one.ok for one in receivers)):
        sys.exit(FAILED)


@click.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell: eval "$(chainwatch completion bash)"."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    main = click.get_current_context().find_root().command
    click.echo(found(main, {}, "chainwatch", "_CHAINWATCH_COMPLETE").source())


def _prompt(question: str, default: str, parse: Callable[[str], T]) -> T:
    """Ask on the terminal until ``parse`` accepts the answer."""
    from chainwatch.init.answers import InitError

    def parsed(answer: str) -> T:
        try:
            return parse(answer)
        except InitError as error:
            raise click.UsageError(str(error)) from error

    answer: T = click.prompt(question, default=default, show_default=bool(default), value_proc=parsed)
    return answer
