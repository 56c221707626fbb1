"""The dictionary: every column once, names that nothing collides with."""

from __future__ import annotations

from typing import Any

import pytest

from curation.flatten import flat_schema
from curation.typed import KEY_FIELDS
from schemas import RESOURCES, dictionary_digest, table
from schemas.dictionary import ARROW_TYPES
from schemas.published import published_columns, published_table


@pytest.mark.parametrize("resource", RESOURCES)
def test_names_are_unique(resource: Any) -> None:
    names = published_table(resource).names
    assert len(set(names)) == len(names)
    typed = [*(field.name for field in KEY_FIELDS), *flat_schema(table(resource)).names]
    assert len(set(typed)) == len(typed)


@pytest.mark.parametrize("resource", RESOURCES)
def test_columns_are_well_formed(resource: Any) -> None:
    for column in table(resource).columns:
        assert column.name == "_".join(column.path)
        assert column.type in ARROW_TYPES
        assert column.personal in (None, "dropped", "sha256", "device", "rater")


@pytest.mark.parametrize("resource", RESOURCES)
def test_no_path_is_the_beginning_of_another(resource: Any) -> None:
    paths = [column.path for column in table(resource).columns]
    assert not [(a, b) for a in paths for b in paths if a != b and b[: len(a)] == a]


@pytest.mark.parametrize("resource", RESOURCES)
def test_tables_begin_and_end_as_told(resource: Any) -> None:
    names = published_table(resource).names
    assert names[0] == "md5sum"
    assert names[-1] == "record_id"
    assert "provenance_email" not in names
    assert published_columns(resource)[0] is table(resource).checksum


def test_digest_is_stable() -> None:
    assert dictionary_digest() == dictionary_digest()
    assert len(dictionary_digest()) == 64
