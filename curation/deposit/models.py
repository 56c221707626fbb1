"""What FigShare answers, as far as a deposit looks at it.

Fields that the service documents as strings and leaves empty or null before they have a meaning (``doi``,
``upload_url``, ``published_date``) have defaults; anything else that is missing is an error of the answer.
The names are the service's: https://docs.figshare.com (API v2).
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from curation.errors import SnapshotError

T = TypeVar("T")


class UnexpectedAnswer(SnapshotError):
    """FigShare answered what its documentation does not foresee."""


class Account(msgspec.Struct, frozen=True):
    """The account that a token belongs to; sizes are bytes."""

    id: int
    user_id: int | None = None
    quota: int | None = None
    used_quota_private: int | None = None
    maximum_file_size: int | None = None


class Author(msgspec.Struct, frozen=True):
    """An author as FigShare knows them."""

    id: int
    full_name: str | None = None
    orcid_id: str | None = None
    is_active: bool | None = None


class Category(msgspec.Struct, frozen=True):
    """A category; only leaves are selectable."""

    id: int
    title: str
    parent_id: int | None = None
    is_selectable: bool | None = None


class License(msgspec.Struct, frozen=True):
    """A licence; ``value`` is what an article's metadata take."""

    value: int
    name: str


class LightArticle(msgspec.Struct, frozen=True):
    """An article in a list."""

    id: int
    title: str
    published_date: str | None = None


class Article(msgspec.Struct, frozen=True):
    """An article: the account's own copy, or a public version."""

    id: int
    title: str = ""
    description: str | None = None
    doi: str | None = None
    version: int | None = None
    published_date: str | None = None
    curation_status: str | None = None
    defined_type_name: str | None = None
    license: License | None = None
    authors: list[Author] = []
    categories: list[Category] = []
    tags: list[str] | None = None
    keywords: list[str] | None = None
    url_private_html: str | None = None

    @property
    def words(self) -> list[str]:
        """The keywords, under whichever of their two names they came."""
        return self.keywords or self.tags or []


class RemoteFile(msgspec.Struct, frozen=True):
    """A file of an article; ``size`` is bytes, checksums are hexadecimal MD5."""

    id: int
    name: str
    size: int
    status: str | None = None
    supplied_md5: str | None = None
    computed_md5: str | None = None
    upload_url: str | None = None
    download_url: str | None = None
    is_link_only: bool | None = None


class Part(msgspec.Struct, frozen=True):
    """A part of an upload; offsets are bytes from 0, the last one included."""

    partNo: int  # noqa: N815 - the service's name
    startOffset: int  # noqa: N815
    endOffset: int  # noqa: N815
    status: str
    locked: bool = False

    @property
    def length(self) -> int:
        """Bytes that a PUT of it has."""
        return self.endOffset - self.startOffset + 1


class Upload(msgspec.Struct, frozen=True):
    """An upload as the upload host lays it out."""

    status: str
    size: int
    md5: str | None = None
    parts: list[Part] = []


def read(kind: type[T], value: Any, where: str) -> T:
    """``value`` as a ``kind``.

    Args:
        kind: one of the classes above, or a list of one.
        value: parsed JSON.
        where: what was asked, for the message.

    Raises:
        UnexpectedAnswer: it is none.
    """
    try:
        # Not strict: ``active`` and the like were integers once and are booleans now.
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UnexpectedAnswer(f"{where}: FigShare answered something unexpected: {error}") from None
