"""Fixtures of deposits."""

from tests.support.released_fixtures import dataset, released, server

__all__ = ["dataset", "released", "server"]
