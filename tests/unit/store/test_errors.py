"""What the database says, in words that help."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from chainwatch.store.database import parse_url
from chainwatch.store.errors import StoreError, explain


def refused(text: str) -> OperationalError:
    return OperationalError("INSERT INTO secrets VALUES (?)", ("hunter2",), Exception(text))


@pytest.mark.parametrize(
    ("text", "words", "transient"),
    [
        ("database is locked", "another process", True),
        ("database or disk is full", "make room", True),
        ("could not extend file: No space left on device", "make room", True),
        ("attempt to write a readonly database", "permissions", True),
        ("cannot execute INSERT in a read-only transaction", "primary", True),
        ("unable to open database file", "path", False),
        ("file is not a database", "another file", False),
        ("database disk image is malformed", "backup", False),
        ("disk I/O error", "I/O", True),
        ('password authentication failed for user "me"', "password", False),
        ('database "x" does not exist', "create it", False),
        ('connection to server at "1.2.3.4", port 5432 failed: Connection refused', "does not answer", True),
        ("server closed the connection unexpectedly", "closed the connection", True),
        ("terminating connection due to administrator command", "closed the connection", True),
        ("the connection is closed", "closed the connection", True),
        ("something nobody has heard of", "something nobody has heard of", False),
    ],
)
def test_each_refusal_says_what_it_is_and_whether_it_may_pass(text: str, words: str, transient: bool) -> None:
    explained = explain(refused(text), "write")

    assert str(explained).startswith("cannot write: ")
    assert words in str(explained)
    assert explained.transient is transient


def test_statements_and_their_values_are_never_repeated() -> None:
    """S9."""
    explained = explain(refused("constraint failed\nDETAIL: Key (token)=(hunter2)"), "write")

    assert "hunter2" not in str(explained)
    assert "INSERT" not in str(explained)


@pytest.mark.parametrize(
    "url",
    ["postgresql://ann:hunter2@host:no-port/db", "hunter2", "://hunter2@", "mysql://ann:hunter2@host/db"],
)
def test_a_database_url_that_cannot_be_used_is_not_repeated_S9(url: str) -> None:
    with pytest.raises(StoreError) as found:
        parse_url(url)

    assert "hunter2" not in f"{found.value} {found.value!r}"


def test_an_error_without_a_text_is_called_by_its_name() -> None:
    assert "SQLAlchemyError" in str(explain(SQLAlchemyError(), "read"))


def test_an_error_of_the_store_is_lasting_unless_it_says_otherwise() -> None:
    assert not StoreError("gone").transient
