"""What the properties of the pipeline are tested on."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.property.worlds import memory_engine


@pytest.fixture(scope="module")
def engine() -> Iterator[sa.Engine]:
    """A database in memory, which `worlds.fresh` leaves as it was."""
    made = memory_engine()
    yield made
    made.dispose()
