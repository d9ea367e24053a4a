"""The schema's versions: made in one go, made by migrations, from somebody else, from the future."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from chainwatch.alerting.engine import submission
from chainwatch.alerting.policy import lifecycle, routing
from chainwatch.store import schema, transfer_totals
from chainwatch.store.alerting import (
    alert_groups,
    alerts,
    expiries,
    history,
    incidents,
    silences,
    suppressions,
)
from chainwatch.store.database import Database
from chainwatch.store.errors import NewerSchema, OlderSchema, StoreError
from chainwatch.store.tables import transfers
from chainwatch.store.transfer_totals import Total
from tests.support.counting import assert_totals_are_right


def test_the_head_is_that_of_the_migrations() -> None:
    assert ScriptDirectory.from_config(_config()).get_current_head() == schema.HEAD


def test_migrations_make_the_same_schema_as_the_tables(empty_database_url: str) -> None:
    engine = sa.create_engine(_driver_url(empty_database_url))
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        migrated = _described(connection)
    with engine.begin() as connection:
        schema.metadata.drop_all(connection)
        schema.metadata.create_all(connection)
        created = _described(connection)
    engine.dispose()

    assert migrated == created
    assert set(migrated) == set(schema.metadata.tables)


def test_a_database_made_by_migrations_is_taken_as_up_to_date(empty_database_url: str) -> None:
    engine = sa.create_engine(_driver_url(empty_database_url))
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()

    with closing(Database.open(empty_database_url)) as database, database.reading() as connection:
        assert schema.current_version(connection) == schema.HEAD


def test_the_times_of_alerts_are_milliseconds_from_version_0005_on(empty_database_url: str) -> None:
    engine = sa.create_engine(_driver_url(empty_database_url))
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(
            sa.text(
                "INSERT INTO alerts (id, fingerprint, name, severity, state, audience, labels, annotations, starts_at, "
                "ends_at, reason, raised_at, resolved_at) VALUES (1, 'f', 'X', 'P1', 'resolved', 'routed', "
                "'{\"alertname\": \"X\"}', '{}', 1700000000, 1700000060, 'late', 1700000001.5, 1700000061.5)"
            )
        )
        connection.execute(sa.text("INSERT INTO alert_timers VALUES (1, 'end', 1.5, 1700000060, 'late')"))
    engine.dispose()

    with closing(Database.open(empty_database_url)) as database, database.reading() as connection:
        (alert,) = alerts.by_id(connection, [1]).values()
        assert (alert.starts_at, alert.ends_at) == (1_700_000_000, 1_700_000_060)
        assert history.timers_of(connection, [1])[1].ends_at == 1_700_000_060


def test_firing_alerts_with_long_labels_are_found_by_what_is_left_of_them_from_version_0009_on(
    empty_database_url: str,
) -> None:
    key = "k" * 9_000
    engine = sa.create_engine(_driver_url(empty_database_url))
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        connection.execute(
            sa.text(
                "INSERT INTO alerts (id, fingerprint, name, severity, state, audience, labels, annotations, starts_at, "
                "ends_at, reason, raised_at, resolved_at) VALUES (1, 'f', 'X', 'P1', 'firing', 'routed', "
                ":labels, '{}', 1700000000000, NULL, '', 1700000001.5, NULL)"
            ),
            {"labels": json.dumps({"alertname": "X", "severity": "P1", "transfer": key})},
        )
        connection.execute(sa.text("INSERT INTO alert_expiries VALUES ('f', 1.5, 1)"))
    engine.dispose()

    (same,) = submission.parse([{"labels": {"alertname": "X", "severity": "P1", "transfer": key}}])
    with closing(Database.open(empty_database_url)) as database, database.reading() as connection:
        alert = alerts.newest(connection, [same.fingerprint])[same.fingerprint]
        assert (alert.id, alert.labels, alert.annotations) == (1, same.labels, {"transfer_whole": key})
        assert list(expiries.find(connection, [same.fingerprint])) == [same.fingerprint]


def test_an_older_database_keeps_its_groups_and_silences_with_keys_that_fit(empty_database_url: str) -> None:
    """A long key of an SQLite database is what the same group has from now on; PostgreSQL took none."""
    engine = sa.create_engine(_driver_url(empty_database_url))
    labels = {"alertname": "X", "more": "é" * (2000 if engine.dialect.name == "sqlite" else 200)}
    pairs = ",".join(f'{name}="{value}"' for name, value in labels.items())
    key = f"{{}}/{{}}:{{{pairs}}}"
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        for statement in (
            "INSERT INTO alert_groups VALUES (1, :key, 'ops', '{}', '{}', 1.0, NULL, NULL)",
            "INSERT INTO incidents VALUES (1, :key, '{}', '{}', 1.0, NULL)",
            "INSERT INTO notifications (receiver, key, payload, status, attempts, next_attempt_at, created_at, queued_at, "
            "idempotency_key) VALUES ('ops', :key, '', 'pending', 0, 1.0, 1.0, 1.0, 'i')",
        ):
            connection.execute(sa.text(statement), {"key": key})
        connection.execute(
            sa.text(
                "INSERT INTO alert_holds VALUES (1, 7, 'silenced', 'by silence 12 of ann: by silence 3 of', 1.0)"
            )
        )
        connection.execute(
            sa.text("INSERT INTO alert_holds VALUES (1, 8, 'cooldown', 'by silence 12 of', 1.0)")
        )
    engine.dispose()

    now = routing.group_key(routing.Route(key="{}", match=(), receivers=()), labels)
    with closing(Database.open(empty_database_url)) as database, database.reading() as connection:
        assert alert_groups.find(connection, [now]).keys() == {(now, "ops")}
        assert incidents.open_with(connection, [now]).keys() == {now}
        assert connection.execute(sa.text("SELECT key FROM notifications")).scalars().all() == [now]
        assert [suppressions.suppresses_any(connection, n) for n in (1, 3, 12)] == [False, False, True]


def test_alerts_say_what_they_are_about_and_the_renamed_one_goes_on_from_version_0015_on(
    empty_database_url: str,
) -> None:
    old = {"alertname": "RuleFailed", "flow": "f", "network": "n", "severity": "P2", "step": "s"}
    new = old | {"alertname": "FlowEvaluationFailed"}
    before = [
        old,
        {"alertname": "RuleFailed", "severity": "P2"},  # another program's
        {"alertname": "TransferOverdue", "severity": "P1", "transfer": "0x1"},
        {"alertname": "NetworkBlind", "network": "n", "severity": "P1"},
        {"alertname": "Watchdog", "severity": "P3"},
        {"alertname": "DiskFull", "network": "n", "severity": "P1"},
        {"alertname": "Watchdog", "cluster": "c", "severity": "P3"},  # another program's
    ]
    engine = sa.create_engine(_driver_url(empty_database_url))
    old_key = '{}/{}:{alertname="RuleFailed"}'
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0013")
        for number, labels in enumerate(before, 1):
            connection.execute(
                sa.text(
                    "INSERT INTO alerts (id, fingerprint, name, severity, state, audience, labels, annotations, "
                    "starts_at, ends_at, reason, raised_at, resolved_at) VALUES (:id, :print, :name, :severity, "
                    "'firing', 'routed', :labels, '{}', 1700000000000, NULL, '', 1700000001.5, NULL)"
                ),
                {
                    "id": number,
                    "print": lifecycle.fingerprint(labels),
                    "name": labels["alertname"],
                    "severity": labels["severity"],
                    "labels": json.dumps(labels, separators=(",", ":")),
                },
            )
        for statement in (
            "INSERT INTO alert_groups VALUES (1, :key, 'ops', '{}', '{\"alertname\":\"RuleFailed\"}', 1.0, 1.0, 1.0)",
            "INSERT INTO incidents VALUES (1, :key, '{}', '{\"alertname\":\"RuleFailed\"}', 1.0, NULL)",
            "INSERT INTO alert_members VALUES (1, 1, 1)",
            "INSERT INTO alert_expiries SELECT fingerprint, 1.5, 1 FROM alerts WHERE id = 7",
            "INSERT INTO incident_alerts VALUES (1, 1)",
            "INSERT INTO silences (matchers, starts_at, ends_at, during, author, comment, created_at, warn_before) "
            "VALUES ('{\"alertname\":[\"RuleFailed\"]}', 1.0, 9.0, '[]', 'ann', :key, 1.0, 0.0)",
        ):
            connection.execute(
                sa.text(statement.replace(":[", "\\:[").replace(':"', '\\:"')), {"key": old_key}
            )
    engine.dispose()

    with closing(Database.open(empty_database_url)) as database, database.reading() as connection:
        stored = alerts.by_id(connection, range(1, 8))
        assert [stored[n].source for n in range(1, 8)] == [
            "event",
            "external",
            "transfer",
            "network",
            "process",
            "external",
            "external",
        ]
        renamed = stored[1]
        assert (renamed.labels, renamed.fingerprint) == (new, lifecycle.fingerprint(new))
        assert stored[2].labels == before[1]
        key = '{}/{}:{alertname="FlowEvaluationFailed"}'
        (group,) = alert_groups.find(connection, [key]).values()
        assert group.labels == {"alertname": "FlowEvaluationFailed"}
        assert incidents.open_with(connection, [key])[key].labels == group.labels
        (silence,) = silences.select(connection, 0.0)
        assert silence.match == {"alertname": ["FlowEvaluationFailed"]}


def test_the_transfers_of_an_older_database_are_counted_from_version_0029_on(empty_database_url: str) -> None:
    engine = sa.create_engine(_driver_url(empty_database_url))
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0024")
        rows = [
            ("complete", "a", "b"),
            ("complete", "a", "b"),
            ("orphan", None, "?77"),
            ("open", "a", "?78"),
            ("excluded", "a", "b"),
        ]
        for number, (status, origin, destination) in enumerate(rows, 1):
            connection.execute(
                sa.insert(transfers).values(
                    id=number,
                    digest=bytes([number]),
                    flow="bridge",
                    key=str(number),
                    status=status,
                    origin=origin,
                    destination=destination,
                    last_at=0,
                    firing=0,
                    state=b"",
                )
            )
    engine.dispose()
    with closing(Database.open(empty_database_url)) as database, database.reading() as connection:
        assert_totals_are_right(connection)
        assert transfer_totals.totals(connection)[Total("bridge", "a", "?", "open")] == 1


def test_a_database_of_an_older_version_is_left_as_it_is_by_whoever_only_looks(
    empty_database_url: str,
) -> None:
    engine = sa.create_engine(_driver_url(empty_database_url))
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
    with pytest.raises(OlderSchema, match=r"0003.*chainwatch run"):
        Database.open(empty_database_url, create=False)
    with engine.begin() as connection:
        assert schema.current_version(connection) == "0003"
    engine.dispose()


def test_a_new_database_is_made_and_found_again(empty_database_url: str) -> None:
    Database.open(empty_database_url).close()
    again = Database.open(empty_database_url)
    with again.reading() as connection:
        assert schema.current_version(connection) == schema.HEAD
    again.close()


def test_a_database_of_a_newer_version_is_refused_in_clear_words(empty_database_url: str) -> None:
    database = Database.open(empty_database_url)
    with database.transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()

    with pytest.raises(NewerSchema) as refused:
        Database.open(empty_database_url)

    for words in ("9999", schema.HEAD, "newer chainwatch", "update"):
        assert words in str(refused.value)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE transfers (id INTEGER)"],
        ["CREATE TABLE users (id INTEGER)"],
        [
            "CREATE TABLE users (id INTEGER)",
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
            "INSERT INTO alembic_version VALUES ('abc123')",
        ],
    ],
    ids=["a table of the same name", "another table", "another program's migrations"],
)
def test_somebody_elses_database_is_refused_and_left_as_it_is(
    empty_database_url: str, statements: list[str]
) -> None:
    engine = sa.create_engine(_driver_url(empty_database_url))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
        before = set(sa.inspect(connection).get_table_names())

    with pytest.raises(StoreError, match="something else") as refused:
        Database.open(empty_database_url)

    assert not isinstance(refused.value, NewerSchema)
    with engine.begin() as connection:
        assert set(sa.inspect(connection).get_table_names()) == before
    engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    return config


def _driver_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def _described(connection: sa.Connection) -> dict[str, Any]:
    """Every table but Alembic's: what the database itself says of its columns, constraints and indexes."""
    inspector = sa.inspect(connection)
    described: dict[str, Any] = {}
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        columns = [
            (c["name"], str(c["type"]), c["nullable"], c.get("default"), c.get("comment"))
            for c in inspector.get_columns(table)
        ]
        described[table] = (
            columns,
            inspector.get_pk_constraint(table)["constrained_columns"],
            _definitions(connection, table),
        )
    return described


def _definitions(connection: sa.Connection, table: str) -> list[str]:
    if connection.dialect.name == "sqlite":
        statement = "SELECT sql FROM sqlite_master WHERE tbl_name = :name AND sql IS NOT NULL ORDER BY sql"
    else:
        statement = "SELECT indexdef FROM pg_indexes WHERE tablename = :name ORDER BY indexdef"
    rows = connection.execute(sa.text(statement), {"name": table}).scalars()
    return [" ".join(definition.split()) for definition in rows]
