"""S3 listings, against moto's server; and against one that fails, as moto never does."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from curation.index import s3
from curation.index.bids import entities_of
from curation.index.claims import entities_json, plain_path
from curation.index.model import COPIES, SourceFailed, SourceRead
from curation.index.s3 import read_s3

BUCKET = "openneuro.org"
IMAGE = "sub-01/anat/sub-01_T1w.nii.gz"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket of moto's; without credentials for whoever does not make its own client."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/reset", method="POST")).close()
    client = boto3.client(
        "s3", endpoint_url=server, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket=BUCKET, ACL="public-read")
    return client


def put(client: Any, key: str, content: bytes = b"image") -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=content, ACL="public-read")


def in_memory() -> Any:
    """The same bucket without HTTP: moto's server has no route for some keys."""
    return s3_backends["123456789012"]["aws"]


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def read(address: str = f"s3://{BUCKET}", state: Any = None) -> dict[str, SourceRead]:
    found = read_s3(address, state=state)
    assert found is not None
    for one in found:
        assert one.copies.schema == COPIES
        one.copies.validate(full=True)
        keys = list(zip(one.copies["path"].to_pylist(), one.copies["md5"].to_pylist(), strict=True))
        assert keys == sorted(keys)
    return {one.dataset: one for one in found}


def paths(one: SourceRead) -> list[str]:
    return one.copies["path"].to_pylist()


def test_a_listing_tells_datasets_paths_and_checksums(bucket: Any, server: str) -> None:
    put(bucket, f"ds000002/{IMAGE}", b"two")
    put(bucket, f"ds000001/{IMAGE}", b"one")
    put(bucket, "ds000001/derivatives/x.nii", b"derived")
    put(bucket, "ds000001/sub-01/anat/sub-01_T1w.json", b"{}")
    put(bucket, "ds000001/sub-01/anat/", b"")
    found = read()
    assert list(found) == ["ds000001", "ds000002"]
    assert found["ds000001"].copies.to_pylist()[1] == {
        **dict.fromkeys(COPIES.names),
        "md5": md5(b"one"),
        "size": 3,
        "source": f"s3://{BUCKET}",
        "dataset": "ds000001",
        "path": IMAGE,
        "in_newest": True,
        "url": f"{server}/{BUCKET}/ds000001/{IMAGE}",
        "entities": '{"datatype": "anat", "extension": ".nii.gz", "subject": "01", "suffix": "T1w"}',
    }
    assert paths(found["ds000001"]) == ["derivatives/x.nii", IMAGE]
    assert found["ds000001"].backends == {"md5": 2} and not found["ds000001"].unusable


def test_without_an_accession_the_last_folder_is_the_dataset(bucket: Any) -> None:
    put(bucket, f"data/Projects/ABIDE/RawDataBIDS/CMU_a/{IMAGE}")
    put(bucket, "data/Projects/ABIDE/RawDataBIDS2/other.nii.gz")
    put(bucket, "top.nii")
    found = read(f"s3://{BUCKET}/data/Projects/ABIDE/RawDataBIDS")
    assert {name: paths(one) for name, one in found.items()} == {"RawDataBIDS": [f"CMU_a/{IMAGE}"]}
    assert len(paths(read()[BUCKET])) == 3


def test_an_accession_in_the_address_counts(bucket: Any) -> None:
    put(bucket, f"mirror/ds000114/{IMAGE}")
    for address in (f"s3://{BUCKET}/mirror/ds000114/sub-01/", f"s3://{BUCKET}/mirror"):
        assert paths(read(address)["ds000114"]) == [IMAGE]


ODD = [
    "a b.nii.gz",
    "ü+%25.nii.gz",
    "100%.nii",
    "a&b=c;d?e#f.nii",
    "tab\t.nii",
    "日本.nii.gz",
    "'\"<>.nii",
    "x//y.nii",
]


def test_odd_keys_have_urls_that_can_be_fetched(bucket: Any) -> None:
    for key in ODD:
        put(bucket, f"ds000001/{key}", key.encode())
    for row in read()["ds000001"].copies.to_pylist():
        with urllib.request.urlopen(row["url"]) as answer:
            content = answer.read()
        assert row["path"] == content.decode().replace("//", "/")
        assert row["md5"] == md5(content)


def test_control_characters_and_dots_in_keys(bucket: Any) -> None:
    for key in ("new\nline.nii", "ret\rurn.nii", "../out.nii", "./dot.nii", "a/../b.nii", "...nii"):
        in_memory().put_object(BUCKET, f"ds000001/{key}", b"x")
    in_memory().put_object(BUCKET, f"/ds000001/{IMAGE}", b"x")
    one = read()["ds000001"]
    assert paths(one) == ["...nii", "new\nline.nii", "ret\rurn.nii", IMAGE]
    assert [url.rpartition(BUCKET)[2] for url in one.copies["url"].to_pylist()] == [
        "/ds000001/...nii", "/ds000001/new%0Aline.nii", "/ds000001/ret%0Durn.nii", f"//ds000001/{IMAGE}",
    ]  # fmt: skip
    assert one.unusable == {"path leaves the dataset": 3}


def test_all_pages_are_read(bucket: Any) -> None:
    for number in range(2100):
        in_memory().put_object(BUCKET, f"ds000001/sub-{number:04d}_bold.nii.gz", b"%d" % number)
    copies = read()["ds000001"].copies
    assert copies["md5"].to_pylist() == [md5(b"%d" % number) for number in range(2100)]


def test_what_is_no_md5_is_counted(bucket: Any) -> None:
    key = "ds000001/large.nii.gz"
    upload = bucket.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    parts = []
    for number, content in enumerate((b"x" * (5 << 20), b"y"), 1):
        part = bucket.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=content)
        parts.append({"ETag": part["ETag"], "PartNumber": number})
    bucket.complete_multipart_upload(
        Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    put(bucket, "ds000001/encrypted.nii")
    in_memory().get_object(BUCKET, "ds000001/encrypted.nii")._etag = "0123"
    put(bucket, "ds000001/empty.nii", b"")
    put(bucket, "ds000001/a.nii")
    one = read()["ds000001"]
    assert paths(one) == ["a.nii"]
    assert one.unusable == {"multipart upload": 1, "ETag is no MD5": 1, "empty file": 1}
    assert one.backends == {"multipart": 1, "other": 1, "md5": 1}


def test_nothing_new(bucket: Any) -> None:
    put(bucket, "ds000001/a.nii")
    put(bucket, "ds000002/a.nii")
    first = read()
    assert first["ds000001"].state == first["ds000002"].state
    json.dumps(first["ds000001"].state)
    put(bucket, "ds000001/README")
    assert read_s3(f"s3://{BUCKET}", state=first["ds000002"].state) is None
    put(bucket, "ds000002/a.nii", b"other")
    again = read(state=first["ds000001"].state)
    assert again["ds000002"].copies["md5"].to_pylist() == [md5(b"other")]


@pytest.mark.parametrize("address", ["s3://", "s3:///x", "s3://UPPER", "https://a/b", "s3://user:secret@b/x"])
def test_addresses_of_something_else(address: str) -> None:
    with pytest.raises(SourceFailed, match="expected s3://bucket") as told:
        read_s3(address)
    assert "secret" not in str(told.value)


def test_no_bucket_and_no_image(bucket: Any) -> None:
    put(bucket, "ds000001/README")
    with pytest.raises(SourceFailed, match=r"s3://no-such-bucket: .*NoSuchBucket \(404\).*check its name"):
        read_s3("s3://no-such-bucket")
    with pytest.raises(SourceFailed, match=r"1 objects, none of them \.nii"):
        read_s3(f"s3://{BUCKET}")


# A server that fails: answers in turn, the last one for ever.


class Failing:
    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("Authorization")))
                status, text = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Failing]:
    found = Failing()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", found.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def page(key: str, more: str = "<IsTruncated>false</IsTruncated>") -> str:
    return (
        f"<ListBucketResult>{more}<Contents><Key>{key}</Key><Size>5</Size>"
        f"<ETag>&quot;{md5(b'image')}&quot;</ETag></Contents></ListBucketResult>"
    )


def error(code: str) -> str:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>"


MORE = "<IsTruncated>true</IsTruncated><NextContinuationToken>2</NextContinuationToken>"


def test_requests_are_unsigned(failing: Failing) -> None:
    failing.answers = [(200, page("ds000001/a.nii"))]
    assert read("s3://b.ucket/x")["ds000001"].copies["url"].to_pylist() == [
        f"{failing.url}/b.ucket/ds000001/a.nii"
    ]
    ((path, authorization),) = failing.asked
    assert path.startswith("/b.ucket?list-type=2&prefix=x%2F") and authorization is None


@pytest.mark.parametrize(
    ("answer", "said", "times"),
    [
        ((403, error("AccessDenied")), r"AccessDenied \(403\).*not everybody may list it", 1),
        ((403, error("AllAccessDisabled")), r"AllAccessDisabled \(403\).*closed", 1),
        ((503, error("SlowDown")), r"SlowDown \(503\).*fewer requests; update the index later", 2),
        ((500, error("InternalError")), r"InternalError \(500\).*update the index later", 2),
        ((200, "<html>Please log in"), "update the index later", 2),
        ((200, "<html><body>Please log in</body></html>"), "without saying that it is complete", 1),
        ((200, page("a.nii", "<IsTruncated>true</IsTruncated>")), "without saying that it is complete", 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("pages_before", [0, 1])
def test_a_listing_that_fails(
    failing: Failing, answer: tuple[int, str], said: str, times: int, pages_before: int
) -> None:
    failing.answers = [(200, page("ds000001/a.nii", MORE))] * pages_before + [answer]
    with pytest.raises(SourceFailed, match=rf"s3://bucket/x: after \d objects the listing .*{said}"):
        read_s3("s3://bucket/x")
    assert len(failing.asked) == pages_before + times


def test_a_page_that_fails_once_is_asked_for_again(failing: Failing) -> None:
    failing.answers = [(200, page("a.nii", MORE)), (503, error("SlowDown")), (200, page("b.nii"))]
    assert paths(read("s3://bucket")["bucket"]) == ["a.nii", "b.nii"]


def test_no_network(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(SourceFailed, match=r"s3://bucket: .*127\.0\.0\.1:9.*check the network"):
        read_s3("s3://bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "no address")
    with pytest.raises(SourceFailed, match="no client of S3"):
        read_s3("s3://bucket")


@pytest.mark.parametrize(
    ("region", "base"),
    [
        (None, "https://s3.amazonaws.com"),
        ("us-east-1", "https://s3.amazonaws.com"),
        ("eu-west-2", "https://s3.eu-west-2.amazonaws.com"),
        ("evil.example/", "https://s3.amazonaws.com"),
    ],
)
def test_urls_are_of_the_regions_endpoint(
    monkeypatch: pytest.MonkeyPatch, region: str | None, base: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    headers = {} if region is None else {"x-amz-bucket-region": region}
    assert s3._base(s3._client("s3://b"), {"ResponseMetadata": {"HTTPHeaders": headers}}) == base


PARTS = [
    "sub-01",
    "sub-0A+b",
    "sub-",
    "ses-1",
    "func",
    "anat",
    ".git",
    ".",
    "",
    "_bold.nii.gz",
    "_T1w.nii",
    "x_",
]
NAMES = st.sampled_from([*PARTS, "subject-1_"])


@settings(max_examples=500, deadline=None)
@given(st.lists(st.lists(NAMES, max_size=4).map("".join), min_size=1, max_size=4).map("/".join))
def test_entities_are_those_of_the_name(path: str) -> None:
    found = entities_of(path)
    assert entities_json(path) == (
        None if found is None else json.dumps(found, sort_keys=True, ensure_ascii=False)
    )


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("a/b.nii", "a/b.nii"), ("./a//b.nii", "a/b.nii"), ("a/./b.nii", "a/b.nii"), ("a/.b/...nii", "a/.b/...nii"),
        ("/a.nii", None), ("a/../b.nii", None), ("../a.nii", None), ("C:\\a.nii", None), ("c:/a.nii", None),
        ("\\\\host\\a.nii", None), (".", None),
    ],
)  # fmt: skip
def test_plain_paths(path: str, plain: str | None) -> None:
    assert plain_path(path) == plain
