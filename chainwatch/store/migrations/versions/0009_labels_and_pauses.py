"""Labels of alerts have at most 1,024 bytes: those that still fire are found by what is left of them. Pauses of receivers.

Revision ID: 0009
"""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

from chainwatch.support.bounds import ANNOTATION_MAX, LABEL_MAX, cut

revision = "0009"
down_revision = "0008"

_alerts = sa.table("alerts", *map(sa.column, ("id", "fingerprint", "state", "labels", "annotations")))
_expiries = sa.table("alert_expiries", sa.column("fingerprint"))


def upgrade() -> None:
    """Make the table of pauses, and cut the labels of firing alerts."""
    op.create_table(
        "receiver_pauses",
        sa.Column("receiver", sa.Text, primary_key=True),
        sa.Column("until", sa.Double, nullable=False),
        sqlite_with_rowid=False,
        comment="Before when nothing is tried for a receiver that is down or asked to be left alone.",
    )
    _cut_labels()


def _cut_labels() -> None:
    """Cut the labels of these alerts, as those of their ends will be."""
    connection = op.get_bind()
    long = sa.select(_alerts).where(
        _alerts.c.state != "resolved", sa.func.length(_alerts.c.labels) > LABEL_MAX // 4
    )
    for row in connection.execute(long).all():
        labels = json.loads(row.labels)
        bounded = {name: cut(value, LABEL_MAX) for name, value in labels.items()}
        if bounded == labels:
            continue
        whole = {f"{n}_whole": cut(v, ANNOTATION_MAX) for n, v in labels.items() if v != bounded[n]}
        print_ = _fingerprint(bounded)
        connection.execute(
            sa.update(_alerts)
            .where(_alerts.c.id == row.id)
            .values(
                fingerprint=print_,
                labels=json.dumps(bounded, ensure_ascii=False),
                annotations=json.dumps({**json.loads(row.annotations), **whole}, ensure_ascii=False),
            )
        )
        connection.execute(
            sa.update(_expiries).where(_expiries.c.fingerprint == row.fingerprint).values(fingerprint=print_)
        )


def _fingerprint(labels: dict[str, str]) -> str:
    """As of this version."""
    text = "".join([f"{name}\xff{labels[name]}\xff" for name in sorted(labels)])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
