"""A MongoDB in this process for the embedded Web-API: mongomock, made safe and quick for a threaded server.

mongomock locks its dictionary of documents, but reads and changes the documents in it unlocked; and it copies
every document that matches before it takes the page that was asked for, which is a third of a second a page
over 3,000 records. Here every access holds one lock, only a page is copied, and a query for a range of ids
(the service is crawled by such) uses an index. What matches, and in what order (ties apart), stays as
mongomock has it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import mongomock
from bson import ObjectId
from mongomock.collection import Collection, Cursor
from mongomock.database import Database
from mongomock.helpers import make_datetime_timezone_aware_in_document

Document = dict[str, Any]

_REMEMBERED = 16  # queries whose matching documents are kept at hand: about one a client
_RANGE = {"$gt", "$gte", "$lt", "$lte"}


class MemoryDatabase(Database):
    """A database whose documents live as long as the process, with one lock for its collections."""

    def __init__(self, name: str) -> None:
        client: mongomock.MongoClient = mongomock.MongoClient(tz_aware=True)
        super().__init__(client, name, None, codec_options=client.codec_options)
        self.lock = threading.RLock()

    def get_collection(self, name: str, *_: Any, **__: Any) -> MemoryCollection:
        """The collection of that name; read and write concerns mean nothing in memory."""
        with self.lock:
            if name not in self._collection_accesses:
                self._collection_accesses[name] = MemoryCollection(self, name)
            return self._collection_accesses[name]

    def drop_collection(self, name_or_collection: Any, session: Any = None) -> None:
        """As pymongo's."""
        name = getattr(name_or_collection, "name", name_or_collection)
        with self.get_collection(name).changing():
            super().drop_collection(name, session)


class MemoryCollection(Collection):
    """A collection of :class:`MemoryDatabase`; the documents that it gives out are copies."""

    def __init__(self, database: MemoryDatabase, name: str) -> None:
        super().__init__(database, name, database._store, codec_options=database.codec_options)
        self._lock = database.lock
        # Both hold until the next change.
        self._by_id: list[Document] | None = None
        self._matching: dict[str, list[Document]] = {}

    def with_options(self, *_: Any, **__: Any) -> MemoryCollection:
        """Itself: read and write concerns mean nothing in memory."""
        return self

    def find(  # type: ignore[override]
        self,
        filter: Any = None,
        projection: Any = None,
        skip: int = 0,
        limit: int = 0,
        *,
        sort: Any = None,
        **options: Any,
    ) -> Cursor:
        """As pymongo's; options beyond these are mongomock's to judge."""
        if options:
            return super().find(filter, projection, skip, limit, sort=sort, **options)
        return _PageCursor(self, {} if filter is None else filter, sort, projection, skip, limit)

    def page(
        self, spec: Document, projection: Any, sort: Any, skip: int, limit: int | None
    ) -> list[Document]:
        """Copies of the documents that match, in order, without the first ``skip``, at most ``limit``."""
        with self._lock:
            documents = self._ordered(spec, sort, slice(skip, None if limit is None else skip + abs(limit)))
            if projection:
                documents = [self._copy_only_fields(document, projection, dict) for document in documents]
            # This copies them as well.
            return [make_datetime_timezone_aware_in_document(document) for document in documents]

    def count_documents(self, filter: Any, **options: Any) -> int:
        """As pymongo's."""
        with self._lock:
            selected = None if options else self._selected(filter)
            return super().count_documents(filter, **options) if selected is None else len(selected)

    def _ordered(self, spec: Document, sort: Any, part: slice) -> list[Document]:
        keys = list(sort.items() if isinstance(sort, dict) else sort or ())
        ascending = self._selected(spec) if keys == [("_id", 1)] else None
        if ascending is not None:
            return ascending[part]
        ordered = _sorted_natively(list(self._iter_documents(spec)), keys)
        if ordered is not None:
            return ordered[part]
        ids = [document["_id"] for document in super()._get_dataset(spec, keys, {"_id": 1}, dict)]
        return [self._store[_id] for _id in ids[part]]

    def _iter_documents(self, filter: Document) -> Iterator[Document]:
        if not filter:
            return iter(list(self._store.documents))
        selected = self._selected(filter)
        if selected is not None:
            return iter(selected)
        # Eve asks twice a page, for the count and for the documents, and a crawl by page number asks again.
        key = repr(filter)
        if key not in self._matching:
            if len(self._matching) == _REMEMBERED:
                self._matching.clear()
            self._matching[key] = list(super()._iter_documents(filter))
        return iter(self._matching[key])

    def _selected(self, spec: Document) -> list[Document] | None:
        """The documents of a range of ids, ascending; ``None`` where a query asks for anything else."""
        bounds = _id_bounds(spec)
        if bounds is None:
            return None
        if self._by_id is None:
            documents = list(self._store.documents)
            if not all(isinstance(document["_id"], ObjectId) for document in documents):
                return None
            self._by_id = sorted(documents, key=partial(_comparable, "_id"))
        first, end = 0, len(self._by_id)
        for operator, bound in bounds.items():
            place = bisect_right if operator in ("$gt", "$lte") else bisect_left
            cut = place(self._by_id, bound.binary, key=partial(_comparable, "_id"))
            if operator in ("$gt", "$gte"):
                first = max(first, cut)
            else:
                end = min(end, cut)
        return self._by_id[first:end]

    def _get_dataset(self, *args: Any) -> list[Document]:
        with self._lock:
            return list(super()._get_dataset(*args))

    def _insert(self, *args: Any, **options: Any) -> Any:
        with self.changing():
            return super()._insert(*args, **options)

    def _update(self, *args: Any, **options: Any) -> Any:
        with self.changing():
            return super()._update(*args, **options)

    def _delete(self, *args: Any, **options: Any) -> Any:
        with self.changing():
            return super()._delete(*args, **options)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """To be held around every change of the documents."""
        with self._lock:
            try:
                yield
            finally:
                self._by_id = None
                self._matching.clear()


class _PageCursor(Cursor):
    """A cursor that copies the documents of its page only."""

    def _compute_results(self, with_limit_and_skip: bool = False) -> list[Document]:
        if not with_limit_and_skip:
            return super()._compute_results()
        if self._results is None:
            self._results = self.collection.page(
                self._spec, self._projection, self._sort, self._skip, self._limit
            )
        return self._results


def _sorted_natively(documents: list[Document], keys: list[tuple[str, int]]) -> list[Document] | None:
    """Sorted by ids or dates; ``None`` where there are other values, whose order is for mongomock to say."""
    for field, direction in reversed(keys):
        kinds = {type(document.get(field)) for document in documents}
        if not kinds <= {ObjectId} and not kinds <= {datetime}:
            return None
        documents = sorted(documents, key=partial(_comparable, field), reverse=direction < 0)
    return documents


def _comparable(field: str, document: Document) -> Any:
    # ObjectIds compare in Python, several times slower than bytes.
    value = document[field]
    return value.binary if isinstance(value, ObjectId) else value


def _id_bounds(spec: Document) -> dict[str, ObjectId] | None:
    """The bounds on ``_id`` that a query consists of; ``None`` where there is anything else in it."""
    if not spec:
        return {}
    condition = spec.get("_id") if len(spec) == 1 else None
    if isinstance(condition, ObjectId):
        return {"$gte": condition, "$lte": condition}
    if not isinstance(condition, dict) or not condition:
        return None
    known = all(op in _RANGE and isinstance(bound, ObjectId) for op, bound in condition.items())
    return condition if known else None
