"""Tokens and the audit log."""

from __future__ import annotations

import pytest

from chainwatch.operations import access as tokens
from chainwatch.operations.access import AuditView, TokenView
from chainwatch.operations.context import Access
from chainwatch.operations.errors import Conflict, Invalid, NotFound
from chainwatch.store import access as store
from chainwatch.store import retention
from chainwatch.support.token_hashes import hash_secret, is_secret_of
from tests.unit.operations.conftest import T0


def test_a_token_is_shown_once_and_only_its_hash_is_stored(access: Access) -> None:
    made = access.write(tokens.add_token, "anna", "operator", "root")
    assert access.read(tokens.list_tokens) == [TokenView("anna", "operator", "root", T0)]
    stored = access.read(tokens.callers).tokens
    token = stored[tokens.public_part(made.token) or ""]
    assert made.token.split("_", 2)[2] not in token.hash
    assert tokens.is_genuine(made.token, token)
    assert not tokens.is_genuine(made.token[:-1] + "~", token)
    other = access.write(tokens.add_token, "ben", "viewer", "root")
    assert not tokens.is_genuine(other.token, token)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "a\n", "é"])
def test_a_name_that_cannot_be_used_is_refused(access: Access, name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        access.write(tokens.add_token, name, "viewer", "root")


def test_what_cannot_be_done_is_refused(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Invalid, match="role: 'root' is none of viewer, operator, admin"):
        access.write(tokens.add_token, "anna", "root", "root")
    access.write(tokens.add_token, "anna", "viewer", "root")
    with pytest.raises(Conflict, match="remove it first"):
        access.write(tokens.add_token, "anna", "admin", "root")
    monkeypatch.setattr(tokens, "TOKENS_MAX", 1)
    with pytest.raises(Conflict, match="remove one"):
        access.write(tokens.add_token, "ben", "admin", "root")
    with pytest.raises(NotFound, match='did you mean "anna"'):
        access.write(tokens.remove_token, "ana", "root")


def test_changes_of_tokens_are_in_the_audit_log(access: Access) -> None:
    access.write(tokens.add_token, "anna", "viewer", "root")
    access.write(tokens.remove_token, "anna", "ben")
    assert access.read(tokens.list_tokens) == []
    page = access.read(tokens.list_audit, limit=1)
    assert page.rows == [AuditView(T0, "ben", "token remove", "anna")]
    after = access.read(tokens.list_audit, after=page.next)
    assert after.rows == [AuditView(T0, "root", "token add", "anna (viewer)")]


@pytest.mark.parametrize(
    "stored", ["", "scrypt$1$2", "scrypt$x$8$1$00$00", "scrypt$16384$8$1$zz$00", "scrypt$3$8$1$00$00"]
)
def test_what_is_no_hash_is_nobodys(stored: str) -> None:
    assert not is_secret_of("x", stored)


def test_two_hashes_of_one_secret_differ() -> None:
    assert hash_secret("x") != hash_secret("x")


def test_old_entries_of_the_audit_log_are_pruned_in_steps(access: Access) -> None:
    for at in (T0 - 3, T0 - 2, T0 - 1, T0):
        with access.database.transaction() as connection:
            store.record(connection, at, "anna", "POST /", "")
    with access.database.transaction() as connection:
        assert retention.prune(connection, 0, T0, 2) == 2
        assert retention.prune(connection, 0, T0, 2) == 1
        assert retention.prune(connection, 0, T0, 2) == 0
    assert [entry.at for entry in access.read(tokens.list_audit).rows] == [T0]
