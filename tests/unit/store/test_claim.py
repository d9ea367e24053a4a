"""One running process per database."""

from __future__ import annotations

import pytest

from chainwatch.store.claim import claimed
from chainwatch.store.errors import StoreError


def test_a_database_is_held_by_one_at_a_time(database_url: str) -> None:
    with claimed(database_url), pytest.raises(StoreError, match="another chainwatch runs"), claimed(database_url):
        pytest.fail("claimed twice")
    with claimed(database_url):
        pass  # free again


def test_a_folder_that_cannot_be_written_is_named(tmp_path: object) -> None:
    with pytest.raises(StoreError, match="cannot write"), claimed(f"sqlite:///{tmp_path}/missing/x.db"):
        pytest.fail("claimed")
