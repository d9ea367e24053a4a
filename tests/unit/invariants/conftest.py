"""The tests that name no database of their own run on each kind."""

from tests.unit.store.conftest import shared_database as shared_database
