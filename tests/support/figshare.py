"""A FigShare on this machine: the metadata host and the upload host, each on a port of its own.

It follows the documented contract, and misbehaves where a test says so. Whatever the client does that the real service
would not forgive is a line of ``violations``.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.figshare_account import (
    CATEGORIES,
    LICENSES,
    OWNER,
    TYPES,
    Account,
    Article,
    File,
    Refusal,
)
from tests.support.figshare_contract import problems
from tests.support.figshare_http import TOKEN, serve

FAULTS = (
    "drop-before", "drop-after", "500-before", "500-after", "503-before", "429-before", "cut-after", "slow-after",
)  # fmt: skip
Answer = tuple[int, Any]
_ROUTES: list[tuple[str, re.Pattern[str], str, str]] = []


def _route(method: str, template: str, pattern: str = "") -> Callable[[Any], Any]:
    path = re.compile(pattern or re.sub(r"\{[a-z_]+\}", r"([0-9]+)", template))

    def register(handler: Any) -> Any:
        _ROUTES.append((method, path, template, handler.__name__))
        return handler

    return register


class FigShareServer:
    """The service; a context manager, then ``url``.

    Args:
        account: what it has.
        fault: asked with the number, method and path of a request for one of ``FAULTS``.
        hook: called with the same and ``"before"`` or ``"after"``, when a request came and when it was carried out;
            a request is not carried out if it says true before.
    """

    def __init__(
        self,
        account: Account | None = None,
        fault: Callable[[int, str, str], str | None] | None = None,
        hook: Callable[[int, str, str, str], bool | None] | None = None,
    ) -> None:
        self.account = account or Account()
        self.fault, self.hook = fault, hook
        self.requests: list[tuple[str, str]] = []
        self.authorized: list[tuple[str, str, str]] = []
        self.page_size_limit = 1000
        self.lock = threading.RLock()
        self.redirect_account_to = ""

    def __enter__(self) -> Self:
        self._servers = [serve(self, "metadata"), serve(self, "upload")]
        api, upload = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)
        self.api, self.upload_host, self.url = api, upload, f"{api}/v2"
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def violations(self) -> list[str]:
        return self.account.violations

    def answer(
        self, host: str, method: str, target: str, headers: Any, read: Callable[[], bytes]
    ) -> tuple[str, int, Any, dict[str, str]]:
        """Carry a request out: template, status, body, more headers."""
        parts = urlsplit(target)
        path, query = parts.path.removeprefix("/v2"), {k: v[0] for k, v in parse_qs(parts.query).items()}
        for its_method, pattern, template, name in _ROUTES:
            found = pattern.fullmatch(path)
            if (
                its_method != method
                or not found
                or (host == "upload") != (template in ("upload", "part", "storage"))
            ):
                continue
            given = [int(one) if one.isdecimal() else one for one in found.groups()]
            try:
                self._authorize(host, path, headers)
                body = read()
                if host == "metadata":
                    body = json.loads(body) if body else {}
                if template == "/account" and self.redirect_account_to:
                    return "", 302, None, {"Location": self.redirect_account_to}
                with self.lock:
                    status, value = getattr(self, name)(*given, query=query, body=body)
            except Refusal as refusal:
                return template, refusal.status, _error(refusal, host), {}
            if template == "ndownloader":
                return template, status, None, {"Location": value}
            with self.lock:
                self.violations.extend(problems(method, template, status, value)) if template[0] == "/" or template in (
                    "upload", "part"
                ) else None  # fmt: skip
            return template, status, value, {}
        return "", 404, None, {}

    def _authorize(self, host: str, path: str, headers: Any) -> None:
        told = headers.get("Authorization")
        if host == "upload":
            if told:
                self.violations.append(f"the token went to the upload host: {path}")
            return
        if path.startswith("/account") and told != f"token {TOKEN}":
            raise Refusal(403, f"Invalid token {(told or '').removeprefix('token ')}", "OAuthInvalidToken")

    # The account

    @_route("GET", "/account")
    def get_account(self, **_: Any) -> Answer:
        private = self.account.used_private
        return 200, {
            "id": 1, "user_id": OWNER, "first_name": "A", "last_name": "B", "email": "x@example.org", "active": 1,
            "created_date": "2019-01-01", "modified_date": "2019-01-01", "group_id": 0, "institution_id": 0,
            "institution_user_id": "", "orcid_id": "", "symplectic_user_id": "", "pending_quota_request": False,
            "quota": self.account.quota, "used_quota": private, "used_quota_private": private, "used_quota_public": 0,
            "maximum_file_size": self.account.largest,
        }  # fmt: skip

    @_route("GET", "/licenses")
    def get_licenses(self, **_: Any) -> Answer:
        return 200, [_license(value) for value in LICENSES]

    @_route("GET", "/account/categories")
    def get_categories(self, **_: Any) -> Answer:
        return 200, [{**one, "path": "", "source_id": "1", "taxonomy_id": 1} for one in CATEGORIES]

    @_route("POST", "/account/authors/search")
    def search_authors(self, body: dict, **_: Any) -> Answer:
        found = self.account.search_authors(body["search_for"])
        more = {"institution_id": 0, "group_id": 0, "is_public": 1, "job_title": ""}
        return 200, [{**one, **more} for one in found]

    # Articles

    @_route("GET", "/account/articles")
    def list_articles(self, query: dict, **_: Any) -> Answer:
        return 200, [self._light(one) for one in self._page(list(self.account.articles.values()), query)]

    @_route("POST", "/account/articles")
    def create_article(self, body: dict, **_: Any) -> Answer:
        article = self.account.create(body)
        where = f"{self.url}/account/articles/{article.id}"
        return 201, {"entity_id": article.id, "location": where, "warnings": list(self.account.warns)}

    @_route("GET", "/account/articles/{article_id}")
    def get_own(self, number: int, **_: Any) -> Answer:
        article = self.account.article(number)
        whole = self._whole(article, article.fields, list(article.files.values()), len(article.versions))
        review = "pending" if self.account.review else "approved"
        return 200, {**whole, "account_id": 1, "curation_status": review, "files": whole["files"][:10]}

    @_route("PATCH", "/account/articles/{article_id}")
    def patch_article(self, number: int, body: dict, **_: Any) -> Answer:
        self.account.update(number, body)
        if self.account.warns:
            where = f"{self.url}/account/articles/{number}"
            return 205, {"location": where, "warnings": list(self.account.warns)}
        return 205, None

    @_route("DELETE", "/account/articles/{article_id}")
    def delete_article(self, number: int, **_: Any) -> Answer:
        self.account.delete(number)
        return 204, None

    @_route("DELETE", "/account/articles/{article_id}/authors/{author_id}")
    def delete_author(self, number: int, who: int, **_: Any) -> Answer:
        self.account.remove_author(number, who)
        return 204, None

    @_route("POST", "/account/articles/{article_id}/reserve_doi")
    def reserve_doi(self, number: int, **_: Any) -> Answer:
        article = self.account.article(number)
        if article.doi:
            self.violations.append(f"a second DOI was reserved for article {number}")
        article.doi = f"10.6084/m9.figshare.{number}"
        return 200, {"doi": article.doi}

    @_route("POST", "/account/articles/{article_id}/publish")
    def publish(self, number: int, **_: Any) -> Answer:
        self.account.publish(number)
        return 201, {"location": f"{self.url}/articles/{number}"}

    # Files

    @_route("GET", "/account/articles/{article_id}/files")
    def list_files(self, number: int, query: dict, **_: Any) -> Answer:
        files = list(self.account.article(number).files.values())
        shown = [self._private_file(one) for one in self._page(files, query)]
        for one in files:
            one.step()
        return 200, shown

    @_route("POST", "/account/articles/{article_id}/files")
    def announce(self, number: int, body: dict, **_: Any) -> Answer:
        file = self.account.announce(number, body)
        return 201, {"location": f"/v2/account/articles/{number}/files/{file.id}"}

    @_route("GET", "/account/articles/{article_id}/files/{file_id}")
    def get_file(self, number: int, identity: int, **_: Any) -> Answer:
        file = self.account.file(number, identity)
        shown = self._private_file(file)
        file.step()
        return 200, shown

    @_route("POST", "/account/articles/{article_id}/files/{file_id}")
    def complete(self, number: int, identity: int, **_: Any) -> Answer:
        self.account.complete(number, identity)
        return 202, None

    @_route("DELETE", "/account/articles/{article_id}/files/{file_id}")
    def delete_file(self, number: int, identity: int, **_: Any) -> Answer:
        self.account.remove_file(number, identity)
        return 204, None

    # Uploads

    @_route("GET", "upload", "/upload/([0-9a-f]+[a-f][0-9a-f]*)")
    def get_upload(self, token: str, **_: Any) -> Answer:
        file = self.account.upload(token)
        parts = [self._part(file, number) for number in range(1, len(file.layout) + 1)]
        status = "ABORTED" if file.aborted else "COMPLETED" if file.completed else "PENDING"
        for number, looks in file.locked.items():
            file.locked[number] = max(0, looks - 1)
        name = f"{file.id}/{file.name}"
        return 200, {
            "token": token, "name": name, "size": file.size, "md5": file.supplied_md5, "status": status, "parts": parts,
        }  # fmt: skip

    @_route("PUT", "part", "/upload/([0-9a-f]+[a-f][0-9a-f]*)/([0-9]+)")
    def put_part(self, token: str, number: int, body: bytes, **_: Any) -> Answer:
        self.account.put(token, number, body)
        return 200, b"OK"

    # What is public

    @_route("GET", "/articles/{article_id}")
    def get_public(self, number: int, **_: Any) -> Answer:
        return self._public(number, None)

    @_route("GET", "/articles/{article_id}/versions/{version_id}")
    def get_version(self, number: int, version: int, **_: Any) -> Answer:
        return self._public(number, version)

    @_route("GET", "/articles/{article_id}/versions")
    def get_versions(self, number: int, **_: Any) -> Answer:
        _article, newest, _ = self.account.public(number)
        where = f"{self.url}/articles/{number}/versions"
        return 200, [{"version": one, "url": f"{where}/{one}"} for one in range(1, newest + 1)]

    @_route("GET", "/articles/{article_id}/files")
    def public_files(self, number: int, query: dict, **_: Any) -> Answer:
        _article, _newest, version = self.account.public(number)
        return 200, [self._public_file(one) for one in self._page(version["files"], query)]

    @_route("GET", "/articles/{article_id}/versions/{version_id}/files")
    def version_files(self, number: int, which: int, query: dict, **_: Any) -> Answer:
        _article, _which, version = self.account.public(number, which)
        return 200, [self._public_file(one) for one in self._page(version["files"], query)]

    @_route("GET", "ndownloader", "/ndownloader/files/([0-9]+)")
    def download(self, identity: int, **_: Any) -> Answer:
        file = self.account.files.get(identity)
        if file is None or not file.public:
            raise Refusal(403)
        return 302, f"{self.upload_host}/storage/{identity}"

    @_route("GET", "storage", "/storage/([0-9]+)")
    def stored(self, identity: int, **_: Any) -> Answer:
        return 200, self.account.files[identity].bytes

    # How they look

    def _page(self, entries: list[Any], query: dict[str, str]) -> list[Any]:
        size, number = int(query.get("page_size", 10)), int(query.get("page", 1))
        if not 1 <= size <= self.page_size_limit or not 1 <= number <= 5000:
            raise Refusal(422, "page or page_size out of range", "Invalid")
        return entries[(number - 1) * size : number * size]

    def _light(self, article: Article) -> dict[str, Any]:
        where = f"{self.url}/account/articles/{article.id}"
        return {
            "id": article.id, "title": article.fields["title"], "doi": article.doi, "handle": "", "url": where,
            "url_public_html": "", "url_public_api": "", "url_private_html": f"{self.api}/account/{article.id}",
            "url_private_api": where, "timeline": {}, "thumb": "", "resource_doi": "", "resource_title": "",
            "defined_type": TYPES[article.fields.get("defined_type", "dataset")],
            "defined_type_name": article.fields.get("defined_type", "dataset"), "created_date": "2026-11-23T00:00:00Z",
            "modified_date": "2026-11-23T00:00:00Z", "group_id": None,
            "published_date": f"2026-11-23T00:00:{article.published:02d}Z" if article.versions else None,
        }  # fmt: skip

    def _whole(
        self, article: Article, fields: dict[str, Any], files: list[File], version: int
    ) -> dict[str, Any]:
        words = fields.get("keywords", [])
        return {
            **self._light(article), "title": fields["title"], "description": fields.get("description", ""),
            "authors": fields["authors"], "tags": words, "keywords": words, "version": version,
            "categories": [
                {"id": c["id"], "title": c["title"], "parent_id": c["parent_id"], "path": "", "source_id": "1",
                 "taxonomy_id": 1} for c in CATEGORIES if c["id"] in fields["categories"]
            ],
            "license": _license(fields["license"]), "references": fields.get("references", []),
            "status": "public" if article.versions else "draft", "is_public": bool(article.versions), "citation": "",
            "confidential_reason": "", "is_confidential": False, "size": sum(f.size for f in files), "funding": "",
            "funding_list": [], "is_metadata_record": False, "metadata_reason": "", "is_embargoed": False,
            "embargo_title": "", "embargo_reason": "", "embargo_options": [], "has_linked_file": False,
            "custom_fields": [], "download_disabled": False, "figshare_url": "", "folder_structure": {},
            "files": [self._public_file(f) for f in files],
        }  # fmt: skip

    def _public(self, number: int, which: int | None) -> Answer:
        article, which, version = self.account.public(number, which)
        whole = self._whole(article, version["fields"], version["files"], which)
        return 200, {**whole, "doi": f"{article.doi}.v{which}", "files": whole["files"][:10]}

    def _public_file(self, file: File) -> dict[str, Any]:
        return {
            "id": file.id, "name": file.name, "size": file.size, "is_link_only": False,
            "download_url": f"{self.api}/ndownloader/files/{file.id}", "supplied_md5": file.supplied_md5,
            "computed_md5": file.computed_md5, "mimetype": "text/plain",
        }  # fmt: skip

    def _private_file(self, file: File) -> dict[str, Any]:
        url = f"{self.upload_host}/upload/{file.token}" if file.status == "created" else ""
        return {
            **self._public_file(file), "status": file.status, "upload_url": url, "upload_token": file.token,
            "viewer_type": "", "preview_state": "preview_not_available", "is_attached_to_public_version": file.public,
        }  # fmt: skip

    def _part(self, file: File, number: int) -> dict[str, Any]:
        start, end = file.layout[number - 1]
        status = "COMPLETE" if number in file.parts else "PENDING"
        locked = file.locked.get(number, 0) > 0
        return {
            "partNo": number,
            "startOffset": start,
            "endOffset": end - 1,
            "status": status,
            "locked": locked,
        }


def _license(value: int) -> dict[str, Any]:
    return {"value": value, "name": LICENSES[value], "url": "https://creativecommons.org"}


def _error(refusal: Refusal, host: str) -> Any:
    """An error in one of the shapes that were seen."""
    if host == "upload" or not refusal.message:
        return None
    if refusal.status == 422:
        return {"message": refusal.message, "data": None, "errcode": refusal.code}
    return {"message": refusal.message, "code": refusal.code, "data": {"extra": None}}
