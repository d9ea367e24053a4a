"""One running process per database."""

from __future__ import annotations

import traceback

import pytest

from chainwatch.store.claim import claimed
from chainwatch.store.errors import StoreError


def test_a_database_is_held_by_one_at_a_time(database_url: str) -> None:
    with (
        claimed(database_url),
        pytest.raises(StoreError, match="another chainwatch runs"),
        claimed(database_url),
    ):
        pytest.fail("claimed twice")
    with claimed(database_url):
        pass  # free again


def test_a_folder_that_does_not_exist_is_named(tmp_path: object) -> None:
    with (
        pytest.raises(StoreError, match="does not exist; make it first"),
        claimed(f"sqlite:///{tmp_path}/missing/x.db"),
    ):
        pytest.fail("claimed")


@pytest.mark.parametrize("url", ["postgresql://user:pa:5ecret@host:5ecret/db", "5ecret"])
def test_a_malformed_url_is_refused_without_its_text(url: str) -> None:  # S9
    with pytest.raises(StoreError, match="malformed") as caught, claimed(url):
        pass
    assert "5ecret" not in "".join(traceback.format_exception(caught.value))
