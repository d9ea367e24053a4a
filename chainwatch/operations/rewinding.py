"""``chainwatch rewind``: go back to a block that the chain still has, after a reorg deeper than the window."""

from __future__ import annotations

import sqlalchemy as sa

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.chain.errors import NotThere
from chainwatch.chain.history import header_at
from chainwatch.chain.pool import Pool
from chainwatch.chain.transport import open_session
from chainwatch.model import Batch, Header
from chainwatch.operations.checks import check_known
from chainwatch.operations.created import extended_on
from chainwatch.operations.errors import Conflict
from chainwatch.pipeline.pipeline import Pipeline
from chainwatch.pipeline.recompute import check_done
from chainwatch.plan import Plan
from chainwatch.registry import build_checkers
from chainwatch.store import blocks, schema
from chainwatch.store.database import Database


async def rewind(database: Database, plan: Plan, now: float, network: str, block: int) -> Header:
    """Drop what is stored of ``network`` after ``block``, and make the chain's present block there the checkpoint.

    What followed from the dropped events is recomputed as after any reorg. A chain that was reset may resume before the
    first block that was read of the old chain. Returns the header of ``block``. Raises ``NotFound`` for a network that is
    not watched, ``ChainError`` when no endpoint gives the block, and ``Conflict`` when the network was not read that far,
    or when another block was read there.
    """
    check_known("network that is watched", network, plan.watches)
    settings = plan.settings
    kept = await database.read(lambda connection: blocks.window(connection, network))
    async with open_session() as session, Pool(settings.networks[network], session) as pool:
        header = await header_at(pool, block)
        is_reset = await _is_gone(pool, kept[0]) if kept else False

    def go_back(connection: sa.Connection) -> None:
        check_done(connection)
        checkpoint = blocks.checkpoints(connection).get(network)
        if (
            checkpoint is None
            or block > checkpoint.last.number
            or (block < checkpoint.first_block and not is_reset)
        ):
            read = f"{checkpoint.first_block} to {checkpoint.last.number}" if checkpoint else "none"
            raise Conflict(f"block {block} of {network} was not read; name one of those read: {read}")
        begins_anew = is_reset and not blocks.logs_between(connection, network, 0, block)
        is_other = any(h.number == block and h.hash != header.hash for h in kept)
        if is_other and not begins_anew:
            raise Conflict(
                f"the chain's block {block} of {network} is not the one that was read, and earlier ones may differ too; "
                "rewind to an earlier block, from before the reorg"
            )
        alerts = AlertEngine.of(extended_on(connection, settings).settings, schema.created_at(connection))
        pipeline = Pipeline(build_checkers(plan), settings.networks, plan.decode, alerts, plan.sources)
        batch = Batch(network, block + 1, header, headers=(header,), ancestor=header)
        pipeline.process(connection, [batch], now)
        blocks.forget_window(connection, network, block)
        if block < checkpoint.first_block:
            blocks.begin_at(connection, network, block + 1, header.timestamp)

    await database.write(go_back)
    return header


async def _is_gone(pool: Pool, kept: Header) -> bool:
    """Return whether the oldest kept block is no longer in the chain."""
    try:
        (now,) = await pool.ask(lambda endpoint: endpoint.headers([kept.number]))
    except NotThere:
        return True
    return now.hash != kept.hash
