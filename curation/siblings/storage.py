"""Where a sibling keeps annexed content: what a person names, and what git-annex is told of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from curation.errors import UsageError
from curation.index.git import without_credentials

STORAGE_TYPES = ("directory", "ria", "s3", "webdav")
CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "webdav": ("WEBDAV_USERNAME", "WEBDAV_PASSWORD"),
}
"""Variables that git-annex itself reads, https://git-annex.branchable.com/special_remotes/S3/ and .../webdav/."""
_EXAMPLES = {
    "directory": "directory:/srv/mriqc-snapshot",
    "ria": "ria:/srv/ria-store",
    "s3": "s3:bucket/prefix",
    "webdav": "webdav:https://example.org/mriqc-snapshot",
}
_PORTS = {"http": 80, "https": 443}
_AMAZON = "https://s3.amazonaws.com"


@dataclass(frozen=True)
class Storage:
    """Storage of a sibling.

    Attributes:
        type: one of :data:`STORAGE_TYPES`.
        place: an absolute path, a URL, or bucket and prefix.
        endpoint: of S3, the service's address.
        region: of S3.
        public_url: where everybody can read the content without credentials.
    """

    type: str
    place: str
    endpoint: str | None = None
    region: str | None = None
    public_url: str | None = None

    def parameters(self) -> list[str]:
        """What ``git annex initremote`` is told, but for a name. Nothing is encrypted: all of it is published."""
        common = ["encryption=none", "autoenable=true"]
        if self.type == "directory":
            return ["type=directory", f"directory={self.place}", *common]
        if self.type == "webdav":
            return ["type=webdav", f"url={self.place}", "embedcreds=no", *common]
        bucket, _, prefix = self.place.partition("/")
        service = urlsplit(self.endpoint or _AMAZON)
        return [
            "type=S3",
            f"bucket={bucket}",
            f"fileprefix={prefix.rstrip('/')}/" if prefix.strip("/") else "fileprefix=",
            f"host={service.hostname}",
            f"port={service.port or _PORTS[service.scheme]}",
            f"protocol={service.scheme}",
            # Names of buckets in host names are Amazon's; other services know paths.
            *(["requeststyle=path"] if self.endpoint else []),
            *([f"region={self.region}"] if self.region else []),
            *([f"publicurl={self.public_url}"] if self.public_url else []),
            "signature=v4",
            "embedcreds=no",
            *common,
        ]

    def require_credentials(self) -> None:
        """Stop where variables with credentials are not set.

        Raises:
            UsageError: they are not.
        """
        require_credentials(self.type)


def require_credentials(kind: str) -> None:
    """Stop where variables with a storage's credentials are not set.

    Args:
        kind: the storage's type, in small letters.

    Raises:
        UsageError: they are not.
    """
    if missing := [name for name in CREDENTIALS.get(kind, ()) if not os.environ.get(name)]:
        raise UsageError(f"{' and '.join(missing)} not set; storage of type {kind} needs them")


def parse_storage(
    text: str, *, endpoint: str | None = None, region: str | None = None, public_url: str | None = None
) -> Storage:
    """Read ``TYPE:PLACE``.

    Args:
        text: e.g. ``ria:/srv/store``, ``s3:bucket/prefix``.
        endpoint: see :class:`Storage`.
        region: see :class:`Storage`.
        public_url: see :class:`Storage`.

    Raises:
        UsageError: it names no storage, or one with options that it does not have.
    """
    kind, _, place = text.partition(":")
    if kind not in STORAGE_TYPES or not place:
        raise UsageError(
            f"--storage {without_credentials(text)}: no storage; expected {' or '.join(_EXAMPLES.values())}"
        )
    if kind != "s3" and (endpoint or region):
        raise UsageError(f"--endpoint and --region are of S3; storage of type {kind} has none")
    if kind == "ria" and public_url:
        raise UsageError("--public-url: clones of a RIA store read its own address; leave it out")
    for url in filter(None, (endpoint, public_url, place if kind == "webdav" else None)):
        require_url(url, ("http", "https"))
    if kind in ("directory", "ria"):
        if "://" in place:
            raise UsageError(f"--storage {without_credentials(text)}: a path is expected, {_EXAMPLES[kind]}")
        place = str(Path(place).resolve())
    elif kind == "s3" and (place.startswith("/") or "://" in place):
        raise UsageError(f"--storage {without_credentials(text)}: expected {_EXAMPLES['s3']}")
    return Storage(kind, place.rstrip("/"), endpoint, region, public_url and public_url.rstrip("/"))


def require_url(url: str, schemes: tuple[str, ...]) -> None:
    """Stop at what is no address, or one with a password: addresses are published in the git-annex branch.

    Raises:
        UsageError: it is one.
    """
    told = without_credentials(url)
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
    except ValueError as error:
        raise UsageError(f"{told}: no address ({error})") from None
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise UsageError(f"{told}: a password or user in an address; give it in the environment instead")
    if parts.scheme not in schemes or not (parts.hostname or parts.scheme == "file"):
        raise UsageError(f"{told}: no address that can be used; expected {' or '.join(schemes)}://...")
