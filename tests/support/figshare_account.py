"""What a FigShare account is, in memory: articles, files, uploads, versions. No HTTP is in here.

Time does not pass by itself: what the service does by and by goes one step with every look at it.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

STEPS = ("created", "ic_checking", "ic_success", "moving_to_final", "available")
ARTICLE_FIELDS = {
    "title", "description", "is_metadata_record", "metadata_reason", "tags", "keywords", "references",
    "related_materials", "categories", "categories_by_source_id", "authors", "custom_fields", "custom_fields_list",
    "defined_type", "funding", "funding_list", "license", "doi", "handle", "resource_doi", "resource_title", "timeline",
    "download_disabled", "group_id",
}  # fmt: skip
AUTHOR_FIELDS = {"id", "name", "first_name", "last_name", "email", "orcid_id"}
FILE_FIELDS = {"link", "md5", "name", "size", "folder_path"}
TYPES = {"figure": 1, "media": 2, "dataset": 3, "software": 9}
LICENSES = {1: "CC BY 4.0", 2: "CC0", 3: "MIT", 7: "Apache 2.0"}
OWNER = 700_001

CATEGORIES = [
    {"id": 100, "title": "Biological Sciences", "parent_id": 0, "is_selectable": False, "has_children": True},
    {"id": 101, "title": "Neuroscience", "parent_id": 100, "is_selectable": True, "has_children": False},
    {"id": 102, "title": "Bioinformatics", "parent_id": 100, "is_selectable": True, "has_children": False},
    {"id": 200, "title": "Medical Sciences", "parent_id": 0, "is_selectable": False, "has_children": True},
    {"id": 201, "title": "Medical Imaging", "parent_id": 200, "is_selectable": True, "has_children": False},
    {"id": 202, "title": "Other", "parent_id": 200, "is_selectable": True, "has_children": False},
    {"id": 103, "title": "Other", "parent_id": 100, "is_selectable": True, "has_children": False},
]


class Refusal(Exception):
    """An answer that says no."""

    def __init__(self, status: int, message: str = "", code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass
class File:
    id: int
    name: str
    size: int
    supplied_md5: str
    token: str
    status: str = "created"
    completed: bool = False
    looks_until_there: int = 0
    layout: list[tuple[int, int]] = field(default_factory=list)
    parts: dict[int, bytes] = field(default_factory=dict)
    locked: dict[int, int] = field(default_factory=dict)
    aborted: bool = False
    public: bool = False

    @property
    def bytes(self) -> bytes:
        return b"".join(self.parts[number] for number in sorted(self.parts))

    @property
    def computed_md5(self) -> str:
        known = self.status not in ("created", "ic_checking")
        return hashlib.md5(self.bytes, usedforsecurity=False).hexdigest() if known else ""

    def step(self) -> None:
        if not self.completed or self.status in ("available", "ic_failure"):
            return
        after = STEPS[STEPS.index(self.status) + 1]
        right = hashlib.md5(self.bytes, usedforsecurity=False).hexdigest() == self.supplied_md5
        self.status = "ic_failure" if after == "ic_success" and not right else after


@dataclass
class Article:
    id: int
    fields: dict[str, Any]
    files: dict[int, File] = field(default_factory=dict)
    versions: list[dict[str, Any]] = field(default_factory=list)
    doi: str = ""
    published: int = 0
    looks_until_public: int = 0


class Account:
    """An account.

    Args:
        part_size: bytes of a part, or a function of a file's size that gives the lengths of all parts.
        quota, largest: bytes.
        known_authors: ids to ORCID.
    """

    def __init__(
        self,
        part_size: int | Callable[[int], list[int]] = 1000,
        quota: int = 10**9,
        largest: int = 10**8,
        known_authors: dict[int, str] | None = None,
    ) -> None:
        self.part_size, self.quota, self.largest = part_size, quota, largest
        self.known_authors = known_authors or {}
        self.articles: dict[int, Article] = {}
        self.files: dict[int, File] = {}
        self.violations: list[str] = []
        self.received: dict[tuple[str, int], int] = {}
        # Misbehaviour that is documented somewhere, off unless a test wants it.
        self.search_is_blind = False
        self.adds_owner = False
        self.warns: list[str] = []
        self.drops: set[str] = set()
        self.file_appears_after = 0
        self.public_after = 0
        self.locks: dict[tuple[str, int], int] = {}
        self.aborts: dict[str, int] = {}
        self.corrupts: dict[str, int] = {}
        self.review = False
        self._ids = itertools.count(7_000_001)
        self._file_ids = itertools.count(12_000_001)

    # Articles

    def article(self, number: int) -> Article:
        if number not in self.articles:
            raise Refusal(404, f"Entity not found: ArticleModel: {number}", "EntityNotFound")
        return self.articles[number]

    def create(self, body: dict[str, Any]) -> Article:
        if "title" not in body:
            raise Refusal(
                422, "'title' is a required property\n\nFailed validating in schema:\n{...}", "Invalid"
            )
        article = Article(next(self._ids), {"authors": [], "categories": [], "keywords": [], "license": 1})
        self._apply(article, body)
        self.articles[article.id] = article
        return article

    def update(self, number: int, body: dict[str, Any]) -> None:
        self._apply(self.article(number), body)

    def delete(self, number: int) -> None:
        if self.article(number).versions:
            raise Refusal(400, "Cannot delete a public article", "BadRequest")
        del self.articles[number]

    def _apply(self, article: Article, body: dict[str, Any]) -> None:
        if unknown := set(body) - ARTICLE_FIELDS:
            raise Refusal(
                422, f"Additional properties are not allowed ({sorted(unknown)[0]!r})\n{{...}}", "Invalid"
            )
        if not 3 <= len(body.get("title", "xxx")) <= 1000 or len(body.get("description", "")) > 20_000:
            raise Refusal(422, "too short or too long", "Invalid")
        for one in body.get("categories", ()):
            if not any(c["id"] == one and c["is_selectable"] for c in CATEGORIES):
                raise Refusal(404, f"Not allowed to set category {one} in article", "EntityNotFound")
        if body.get("defined_type", "dataset") not in TYPES:
            raise Refusal(422, "Invalid type", "Invalid")
        if body.get("license", 1) not in LICENSES:
            raise Refusal(422, "Invalid license", "Invalid")
        taken = {name: value for name, value in body.items() if name not in self.drops}
        if "tags" in taken:
            taken["keywords"] = taken.pop("tags")
        if "authors" in taken:
            taken["authors"] = [self._author(one) for one in taken["authors"]]
            if self.adds_owner and OWNER not in [one["id"] for one in taken["authors"]]:
                taken["authors"].append(self._author({"id": OWNER}))
                self.adds_owner = False
        article.fields.update(taken)

    def _author(self, one: dict[str, Any]) -> dict[str, Any]:
        if set(one) - AUTHOR_FIELDS:
            raise Refusal(422, "Additional properties are not allowed", "Invalid")
        if "id" in one:
            if one["id"] not in {*self.known_authors, OWNER}:
                raise Refusal(404, f"Entity not found: user {one['id']}", "EntityNotFound")
            return author(one["id"], f"Known {one['id']}", self.known_authors.get(one["id"], ""))
        for number, orcid in self.known_authors.items():
            if one.get("orcid_id") == orcid:
                raise Refusal(
                    400,
                    f"There can't be 2 users having the same orcid. Similar user_id: {number}",
                    "BadRequest",
                )
        return author(next(self._ids), one["name"], one.get("orcid_id", ""))

    def search_authors(self, words: str) -> list[dict[str, Any]]:
        if self.search_is_blind:
            return []
        found = [n for n, orcid in self.known_authors.items() if words in orcid]
        return [author(n, f"Known {n}", self.known_authors[n]) for n in found]

    def remove_author(self, number: int, who: int) -> None:
        authors = self.article(number).fields["authors"]
        if who not in [one["id"] for one in authors]:
            raise Refusal(404, "Entity not found", "EntityNotFound")
        self.article(number).fields["authors"] = [one for one in authors if one["id"] != who]

    # Files

    @property
    def used_private(self) -> int:
        return sum(f.size for a in self.articles.values() for f in a.files.values() if not f.public)

    def announce(self, number: int, body: dict[str, Any]) -> File:
        article = self.article(number)
        if set(body) - FILE_FIELDS or not {"name", "size"} <= set(body):
            raise Refusal(422, "name and size are needed", "Invalid")
        if body["size"] < 1 or body["size"] > self.largest:
            raise Refusal(400, "File size not allowed", "BadRequest")
        if self.used_private + body["size"] > self.quota:
            raise Refusal(400, "Not enough quota", "BadRequest")
        identity = next(self._file_ids)
        token = hashlib.sha256(f"upload {identity}".encode()).hexdigest()[:32]
        file = File(identity, body["name"], body["size"], body.get("md5", ""), token)
        file.looks_until_there = self.file_appears_after
        lengths = self.part_size(file.size) if callable(self.part_size) else _equal(file.size, self.part_size)
        starts = list(itertools.accumulate(lengths, initial=0))
        assert starts[-1] == file.size
        file.layout = list(itertools.pairwise(starts))
        for (name, part), looks in self.locks.items():
            if name == file.name:
                file.locked[part] = looks
        article.files[identity] = self.files[identity] = file
        return file

    def file(self, number: int, identity: int) -> File:
        found = self.article(number).files.get(identity)
        if found is None or found.looks_until_there > 0:
            if found is not None:
                found.looks_until_there -= 1
            raise Refusal(404, f"Entity not found: {identity}", "EntityNotFound")
        return found

    def complete(self, number: int, identity: int) -> None:
        file = self.file(number, identity)
        if len(file.parts) != len(file.layout) or file.aborted:
            raise Refusal(400, "Upload is not complete", "BadRequest")
        if self.corrupts.get(file.name, 0) > 0:
            self.corrupts[file.name] -= 1
            file.parts[1] = bytes([file.parts[1][0] ^ 1]) + file.parts[1][1:]
        file.completed = True

    def remove_file(self, number: int, identity: int) -> None:
        self.file(number, identity)
        del self.article(number).files[identity]

    # Uploads

    def upload(self, token: str) -> File:
        for article in self.articles.values():
            for file in article.files.values():
                if file.token == token:
                    return file
        raise Refusal(404)

    def put(self, token: str, part: int, content: bytes) -> None:
        file = self.upload(token)
        if not 1 <= part <= len(file.layout):
            raise Refusal(404)
        if file.aborted or file.completed or file.locked.get(part, 0) > 0:
            raise Refusal(409)
        if self.aborts.get(file.name, 0) > 0:
            self.aborts[file.name] -= 1
            file.aborted = True
            raise Refusal(409)
        start, end = file.layout[part - 1]
        if len(content) != end - start:
            self.violations.append(f"{file.name}: part {part} has {len(content)} bytes, not {end - start}")
            raise Refusal(500)
        if part in file.parts:
            self.violations.append(f"{file.name}: part {part} was sent again though it was complete")
        file.parts[part] = content
        key = (file.name, file.id)
        self.received[key] = self.received.get(key, 0) + len(content)

    # Versions

    def publish(self, number: int) -> Article:
        article = self.article(number)
        fields = article.fields
        if not fields["keywords"]:
            # So it was reported: the message names another field.
            raise Refusal(400, "Missing mandatory field for publication - authors", "BadRequest")
        for name in ("title", "description", "authors", "categories", "license", "defined_type"):
            if not fields.get(name):
                raise Refusal(400, f"Missing mandatory field for publication - {name}", "BadRequest")
        if not article.files:
            raise Refusal(400, "Missing mandatory field for publication - files", "BadRequest")
        for file in article.files.values():
            if file.status != "available":
                self.violations.append(f"published while {file.name} was {file.status}")
        article.doi = article.doi or f"10.6084/m9.figshare.{number}"
        article.published += 1
        if self.review:
            return article
        version = {"fields": deepcopy(fields), "files": list(article.files.values())}
        if article.versions and _same(article.versions[-1], version):
            article.versions[-1] = version
        else:
            article.versions.append(version)
        for file in article.files.values():
            file.public = True
        article.looks_until_public = self.public_after
        return article

    def public(self, number: int, version: int | None = None) -> tuple[Article, int, dict[str, Any]]:
        article = self.article(number)
        which = version or len(article.versions)
        if not 1 <= which <= len(article.versions):
            raise Refusal(404, "Entity not found", "EntityNotFound")
        if article.looks_until_public > 0:
            article.looks_until_public -= 1
            raise Refusal(404, "Entity not found", "EntityNotFound")
        return article, which, article.versions[which - 1]


def author(number: int, name: str, orcid: str) -> dict[str, Any]:
    first, _, last = name.partition(" ")
    return {
        "id": number, "full_name": name, "first_name": first, "last_name": last, "is_active": True, "url_name": "_",
        "orcid_id": orcid,
    }  # fmt: skip


def _equal(size: int, part: int) -> list[int]:
    return [min(part, size - start) for start in range(0, size, part)]


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """What makes no new version: anything but title, authors, licence and files."""
    counts = ("title", "authors", "license")
    same = all(one["fields"].get(name) == other["fields"].get(name) for name in counts)
    return same and [f.id for f in one["files"]] == [f.id for f in other["files"]]


def without_version(doi: str) -> str:
    return re.sub(r"\.v\d+$", "", doi)
