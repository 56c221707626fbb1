"""Listings of Amazon S3.

The ETag of an object that was uploaded in one part, as plain text or with S3's own keys, is the MD5 of its bytes; that
of a multipart upload ends in ``-`` and the number of parts and is none:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html. Objects under SSE-C or SSE-KMS have ETags that are no
MD5 and may look like one. A listing does not tell them, but nobody can fetch them unsigned, and what is the MD5 of
nothing matches nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from curation.index.claims import IMAGES, LEAVES, Claims, place_of
from curation.index.git import without_credentials
from curation.index.model import SourceFailed, SourceRead

NO_MD5 = "ETag is no MD5"
MULTIPART = "multipart upload"

ATTEMPTS = 6
"""How often one page is asked for; botocore waits longer every time, 20 s at most:
https://docs.aws.amazon.com/boto3/latest/guide/retries.html#standard-retry-mode"""
_TIMEOUTS = {"connect_timeout": 10, "read_timeout": 60}  # seconds
_FORMAT = b"1\n"  # part of the state: another reading of the same listing is another number
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SINGLE = re.compile(r"[0-9a-f]{32}")
_PARTS = re.compile(r"[0-9a-f]{32}-\d+")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z0-9]+)+")

_NOT_PUBLIC = "not everybody may list it; check the address, or give a manifest of its checksums instead"
_BUSY = "the service wants fewer requests; update the index later"
_ADVICE: dict[str | int | None, str] = {
    "AllAccessDisabled": "the bucket is closed; give a manifest of its checksums instead",
    "NoSuchBucket": "there is no such bucket; check its name",
    "PermanentRedirect": "its region could not be found out; name the region's endpoint in AWS_ENDPOINT_URL_S3",
    403: _NOT_PUBLIC,
    429: _BUSY,
    503: _BUSY,
    None: "check the network and AWS_ENDPOINT_URL_S3, and update the index later",
}


def read_s3(address: str, *, state: Mapping[str, Any] | None = None) -> list[SourceRead] | None:
    """What an unsigned listing says of NIfTI images; other objects are passed over.

    The dataset of an image is the first folder of its key that is an accession (``ds000114``), and its path is what
    follows. Where there is none, the dataset is the last folder of the address (or the bucket), and the path is what
    follows the address. Empty folder names are left out of paths, and stay in URLs.

    Args:
        address: ``s3://bucket`` or ``s3://bucket/folder``.
        state: of any of the datasets read before; a listing has no cheaper sign of change than itself, so that all
            datasets of an address have the same.

    Returns:
        A read a dataset; ``None`` if keys, ETags and sizes of the images are as they were.

    Raises:
        SourceFailed: the address is none, the listing failed or broke off, or there is no image. Nothing is returned of
            a part of a listing.
    """
    bucket, prefix = _bucket_and_prefix(address)
    claims = Claims(address, prefix.rstrip("/").rpartition("/")[2] or bucket)
    digest = hashlib.sha256(_FORMAT)
    listed = 0
    for base, found in _objects(_client(address), address, bucket, prefix):
        listed += 1
        key = found.get("Key", "")
        if key.endswith(IMAGES):
            etag, size = found.get("ETag", "").strip('"').lower(), found.get("Size")
            digest.update(f"{json.dumps([key, etag, size])}\n".encode())
            _claim(claims, prefix, f"{base}/{bucket}/{quote(key)}", key, etag, size)
    if not claims:
        what = f"{listed} objects, none of them .nii or .nii.gz"
        raise SourceFailed(f"{address}: {what}; expected the folder of datasets; check the address")
    new = {"listing": digest.hexdigest()}
    return None if state == new else claims.finish(new)


def _bucket_and_prefix(address: str) -> tuple[str, str]:
    scheme, _, rest = address.partition("://")
    bucket, _, folder = rest.partition("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket):
        shown = without_credentials(address)
        raise SourceFailed(f"{shown}: is no address of S3; expected s3://bucket or s3://bucket/folder")
    folder = folder.strip("/")
    return bucket, f"{folder}/" if folder else ""


def _claim(claims: Claims, prefix: str, url: str, key: str, etag: str, size: int | None) -> None:
    names = key.split("/")
    dataset, path = place_of("/".join(filter(None, names)))
    if dataset is None:
        path = "/".join(filter(None, key.removeprefix(prefix).split("/")))
    if not {".", ".."}.isdisjoint(names):
        claims.leave_out(dataset, LEAVES)
    elif _SINGLE.fullmatch(etag):
        claims.add(dataset, etag, path, size, url)
    elif _PARTS.fullmatch(etag):
        claims.leave_out(dataset, MULTIPART, backend="multipart")
    else:
        claims.leave_out(dataset, NO_MD5, backend="other")


def _client(address: str) -> Any:
    import boto3  # here, as nothing else needs its tenth of a second
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        signature_version=UNSIGNED,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        s3={"addressing_style": "path"},  # TLS certificates do not cover bucket.with.dots.s3.amazonaws.com
        **_TIMEOUTS,
    )
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or None
    try:
        session = boto3.session.Session()
        return session.client("s3", region_name="us-east-1", endpoint_url=endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        raise SourceFailed(
            f"{address}: no client of S3 can be made: {error}; check the variables AWS_* and ~/.aws/config"
        ) from error


def _objects(client: Any, address: str, bucket: str, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a listing, each with the address that objects are below: all, or it raises."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    listed, more = 0, True
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            base = _base(client, page)
            for found in page.get("Contents", ()):
                yield base, found
            listed += len(page.get("Contents", ()))
            more = page.get("IsTruncated") is not False
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise SourceFailed(_failure(address, error, listed)) from error
    if more:  # botocore ends in silence where there is no token for the next page
        raise SourceFailed(
            f"{address}: after {listed} objects the listing ended without saying that it is complete; expected"
            " IsTruncated to be false on the last page; update the index later"
        )


def _base(client: Any, page: Mapping[str, Any]) -> str:
    """Where objects are fetched below: the endpoint, which for buckets of Amazon's other regions has to be theirs."""
    endpoint = urlsplit(client.meta.endpoint_url)
    if not (endpoint.hostname or "").endswith(".amazonaws.com"):
        return f"{endpoint.scheme}://{endpoint.netloc.rpartition('@')[2]}{endpoint.path.rstrip('/')}"
    region = page["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", "us-east-1")
    elsewhere = region != "us-east-1" and _REGION.fullmatch(region)
    return f"https://s3.{region}.amazonaws.com" if elsewhere else "https://s3.amazonaws.com"


def _failure(address: str, error: Exception, listed: int) -> str:
    answer: Mapping[str, Any] = getattr(error, "response", {})
    code = answer.get("Error", {}).get("Code", "")
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    told = f"answered {code} ({status}), {answer['Error'].get('Message', '')}" if code else f"failed: {error}"
    advice = _ADVICE.get(code) or _ADVICE.get(status) or "check the address, and update the index later"
    return f"{address}: after {listed} objects the listing {told}; {advice}"
