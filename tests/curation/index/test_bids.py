"""Names of BIDS and the inheritance principle: its examples, an oracle made of its text, and real datasets."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.flatten.documents import Beyond
from curation.index.bids import Sidecars, ambiguous, digest, entities_of, merge

DESCRIPTION = "dataset_description.json"


@pytest.mark.parametrize(
    ("path", "entities"),
    [
        (
            "sub-01/ses-a/func/sub-01_ses-a_task-rest_acq-6p+s2_run-01_echo-2_part-mag_bold.nii.gz",
            {
                "subject": "01", "session": "a", "task": "rest", "acquisition": "6p+s2", "run": "01", "echo": "2",
                "part": "mag", "suffix": "bold", "datatype": "func", "extension": ".nii.gz",
            },
        ),
        (
            "sub-01/func/sub-01_task-rest_recording-eye_physio.tsv.gz",
            {
                "subject": "01", "task": "rest", "recording": "eye", "suffix": "physio", "datatype": "func",
                "extension": ".tsv.gz",
            },
        ),
        ("sub-1_T1w.nii", {"subject": "1", "suffix": "T1w", "extension": ".nii"}),
        ("./sub-1/anat/sub-1_T1w.nii", {"subject": "1", "suffix": "T1w", "datatype": "anat", "extension": ".nii"}),
        ("task-rest_bold.json", {"task": "rest", "suffix": "bold", "extension": ".json"}),
        ("T1w.json", {"suffix": "T1w", "extension": ".json"}),
        ("2PE.json", {"suffix": "2PE", "extension": ".json"}),
        # A folder that is no datatype, an entity and a suffix that BIDS does not have.
        (
            "raw/sub-1_fad-x_MEFLASH.nii.gz",
            {"subject": "1", "fad": "x", "suffix": "MEFLASH", "extension": ".nii.gz"},
        ),
    ],
)  # fmt: skip
def test_entities(path: str, entities: dict[str, str]) -> None:
    assert entities_of(path) == entities


@pytest.mark.parametrize(
    "path",
    [
        "", "README", "README.md", "CHANGES", "participants.tsv", "participants.json", DESCRIPTION,
        "sub-01", "sub-01.nii.gz", "sub-01_.nii.gz", "sub-01_T1w", "_T1w.nii.gz", "sub-01_bold.", "sub-_bold.nii",
        "-01_bold.nii", "sub-01__bold.nii", "sub-01_rest_bold.nii.gz", "sub-01_task-n-back_bold.nii.gz",
        "sub-01_acq-1.5T_T1w.nii.gz", "sub-01_acq-é_T1w.nii.gz", "sub-01_T1w.nii.gz\n", "sub-01\n_T1w.nii.gz",
        "sub-01_sub-01_T1w.nii.gz", "sub-01_acq-laser_acq-uneven_electrodes.tsv",
        ".sub-01_T1w.nii.gz", ".heudiconv/01/sub-01_T1w.nii.gz", "sub-01/.bak/sub-01_T1w.nii.gz",
        # Long names and words of the answer would be taken for what they are not.
        "subject-01_T1w.nii.gz", "sub-01_suffix-bold_T1w.nii.gz",
        "image.nii.gz", "sub-01/anat/T1.nii.gz",
    ],
)  # fmt: skip
def test_no_names_of_bids(path: str) -> None:
    assert entities_of(path) is None
    assert Sidecars({DESCRIPTION: "0", "participants.json": "1"}).applying(path) == []


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("sub-01_ses.niTw+/\n", max_size=40))
def test_any_path_has_an_answer(path: str) -> None:
    found = entities_of(path)
    assert found is None or {"suffix", "extension"} <= found.keys()


IMAGE = "sub-01/ses-a/func/sub-01_ses-a_task-rest_run-01_bold.nii.gz"


def applying(*files: str, image: str = IMAGE) -> list[str]:
    """Paths of the sidecars that apply, with the blobs checked."""
    found = Sidecars({path: path.upper() for path in files}).applying(image)
    assert all(content == path.upper() for path, content in found)
    return [path for path, _ in found]


@pytest.mark.parametrize(
    "sidecar",
    [
        "bold.json", "task-rest_bold.json", "ses-a_bold.json", "sub-01/sub-01_bold.json", "sub-01/ses-a/bold.json",
        "sub-01/ses-a/func/sub-01_ses-a_task-rest_run-01_bold.json",
        # The order of entities is one of style, zeros in front of an index are.
        "run-01_task-rest_bold.json", "run-1_bold.json", "run-0001_bold.json",
        # Misplaced (rule 3), and yet it applies by rule 2.
        "sub-01_ses-a_bold.json",
    ],
)  # fmt: skip
def test_applies(sidecar: str) -> None:
    assert applying(DESCRIPTION, sidecar) == [sidecar]
    assert applying(sidecar) == [sidecar]


@pytest.mark.parametrize(
    "sidecar",
    [
        # Another suffix, value or entity (rules 2.b and 2.c).
        "T1w.json", "sbref.json", "task-rest_events.json", "task-Rest_bold.json", "task-res_bold.json",
        "task-rest+x_bold.json", "run-2_bold.json", "run-10_bold.json", "ses-0a_bold.json", "echo-1_bold.json",
        "new-x_bold.json", "sub-1_bold.json", "subject-01_bold.json",
        # Neither above nor beside it (rule 2.a).
        "sub-01/ses-a/anat/bold.json", "sub-01/ses-b/bold.json", "sub-02/bold.json", "sub-01/ses-a/func/x/bold.json",
        "sub-01/ses/bold.json", "code/task-rest_bold.json",
        # No sidecars.
        "bold.tsv", "bold.json.json", "bold.nii.json", ".bold.json", "rest_bold.json", "Bold.json", "json",
        "participants.json", "samples.json", DESCRIPTION,
    ],
)  # fmt: skip
def test_does_not_apply(sidecar: str) -> None:
    assert applying(sidecar) == []


def test_other_files_have_no_sidecars() -> None:
    assert applying("notes.json", image="code/notes.txt") == []
    assert applying("participants.json", image="sub-01/sub-01_participants.tsv") == []


def test_a_suffix_or_entity_that_bids_does_not_have_applies_like_others() -> None:
    image = "sub-1/anat/sub-1_fad-x_MEFLASH.nii.gz"
    assert applying("MEFLASH.json", "fad-x_MEFLASH.json", "fad-y_MEFLASH.json", image=image) == [
        "MEFLASH.json",
        "fad-x_MEFLASH.json",
    ]
    # Only an index may have zeros in front.
    assert applying("fad-01_bold.json", "acq-01_bold.json", image="sub-1_acq-1_fad-1_bold.nii") == []


def test_examples_of_the_standard() -> None:
    """Those of https://bids-specification.readthedocs.io/en/stable/common-principles.html#examples"""
    longtr = "sub-01/func/sub-01_task-rest_acq-longtr_bold.json"
    files = ("task-rest_bold.json", "scans.json", longtr)
    default = longtr.replace("longtr_bold.json", "default_bold.nii.gz")
    assert applying(*files, image=default) == ["task-rest_bold.json"]
    assert applying(*files, image=longtr.replace(".json", ".nii.gz")) == ["task-rest_bold.json", longtr]
    assert applying(*files, image="sub-01/sub-01_scans.tsv") == ["scans.json"]
    metadata, _ = merge(
        [
            ("task-rest_bold.json", b'{"EchoTime": 0.040, "RepetitionTime": 1.0}'),
            (longtr, b'{"RepetitionTime": 3.0}'),
        ]
    )
    assert metadata == {"EchoTime": 0.04, "RepetitionTime": 3.0}

    folder = "sub-01/ses-test/func/"
    task = "sub-01_ses-test_task-overtverbgeneration"
    image = f"{folder}{task}_run-2_bold.nii.gz"
    near, beside = f"{folder}{task}_run-2_bold.json", f"{folder}{task}_bold.json"
    above = f"sub-01/ses-test/{task}_bold.json"
    found = Sidecars({near: "1", beside: "2"}).applying(image)
    assert ambiguous(found) == [[beside, near]]
    found = Sidecars({near: "1", above: "2"}).applying(image)
    assert (found, ambiguous(found)) == ([(above, "2"), (near, "1")], [])


def test_several_in_one_folder_are_in_a_fixed_order() -> None:
    """Fewer entities first, then values written otherwise than the image's, then by name."""
    files = [
        "bold.json", "run-1_bold.json", "run-01_bold.json", "ses-a_run-1_bold.json", "run-01_task-rest_bold.json",
        "task-rest_run-01_bold.json", "sub-01/bold.json",
    ]  # fmt: skip
    found = Sidecars(dict.fromkeys(files, "")).applying(IMAGE)
    assert [path for path, _ in found] == files
    assert found == Sidecars(dict.fromkeys(files[::-1], "")).applying(IMAGE)
    assert ambiguous(found) == [files[:-1]]
    assert ambiguous([]) == []


@pytest.mark.parametrize(
    ("roots", "root"),
    [
        ([], ""),
        ([""], ""),
        (["", "sub-01"], "sub-01"),
        (["sub-02", "sub-01/ses-a/func/x"], ""),
        (["sub-01/ses-a/func"], "sub-01/ses-a/func"),
    ],
)
def test_the_nearest_description_is_at_the_root(roots: list[str], root: str) -> None:
    folders = ["", "sub-01", "sub-01/ses-a", "sub-01/ses-a/func"]
    files = [f"{folder}/bold.json".lstrip("/") for folder in folders]
    descriptions = [f"{folder}/{DESCRIPTION}".lstrip("/") for folder in roots]
    assert applying(*files, *descriptions) == files[folders.index(root) :]


@pytest.mark.parametrize("described", [True, False])
def test_datasets_in_a_dataset(described: bool) -> None:
    files = [
        "bold.json",
        "derivatives/x/bold.json",
        "sourcedata/bold.json",
        "sourcedata/raw/bold.json",
        DESCRIPTION,
    ]
    if described:
        files += [f"derivatives/x/{DESCRIPTION}", f"sourcedata/raw/{DESCRIPTION}"]
    assert applying(*files, image=IMAGE) == ["bold.json"]
    assert applying(*files, image=f"derivatives/x/{IMAGE}") == ["derivatives/x/bold.json"]
    assert applying(*files, image=f"derivatives/y/{IMAGE}") == []
    raw = ["sourcedata/raw/bold.json"] if described else ["sourcedata/bold.json", "sourcedata/raw/bold.json"]
    assert applying(*files, image=f"sourcedata/raw/{IMAGE}") == raw


# The oracle: the rules one after the other, for every sidecar and every image, and names taken apart in another way.
INDICES = {"run", "echo", "flip", "inv", "split", "chunk"}


def instances(path: str) -> tuple[dict[str, str | int], str]:
    *pairs, end = path.split("/")[-1].split("_")
    values: dict[str, str | int] = {}
    for pair in pairs:
        key, value = pair.split("-")
        values[key] = int(value) if key in INDICES else value
    return values, end.split(".")[0]


def level(path: str) -> list[str]:
    return path.split("/")[:-1]


def root_of(image: str, files: list[str]) -> list[str]:
    described = [level(path) for path in files if path.split("/")[-1] == DESCRIPTION]
    above = [level(image)[:depth] for depth in range(len(level(image)) + 1)]
    ends = [[], *(one for one in above if one in described or one[-1:] in (["derivatives"], ["sourcedata"]))]
    return max(ends, key=len)


def by_the_text(files: list[str], image: str) -> list[str]:
    root = root_of(image, files)
    entities, suffix = instances(image)
    applicable = []
    for path in files:
        if path.split("/")[-1] == DESCRIPTION:
            continue
        at, (own, own_suffix) = level(path), instances(path)
        in_dataset = at[: len(root)] == root
        same_level_or_higher = level(image)[: len(at)] == at
        no_entity_absent = all(item in entities.items() for item in own.items())
        if in_dataset and same_level_or_higher and own_suffix == suffix and no_entity_absent:
            applicable.append(path)
    parts = set(image.split("/")[-1].split("_")[:-1])
    return sorted(
        applicable,
        key=lambda one: (
            len(level(one)), len(instances(one)[0]), len(parts & set(one.split("/")[-1].split("_")[:-1])), one
        ),
    )  # fmt: skip


FOLDERS = [
    "", "sub-1/", "sub-1/func/", "sub-1/ses-a/", "sub-1/ses-a/func/", "sub-2/", "sub-2/func/", "derivatives/",
    "derivatives/x/", "derivatives/x/sub-1/", "sourcedata/raw/", "sourcedata/raw/sub-1/", "sub-1/derivatives/sub-1/",
]  # fmt: skip
VALUES = {
    "sub": ["1", "2"], "ses": ["a"], "task": ["rest", "Rest", "rest+1"], "acq": ["1", "01"], "run": ["1", "01", "2"],
    "echo": ["0", "00", "1"], "foo": ["x"],
}  # fmt: skip


@st.composite
def paths(draw: st.DrawFn, extension: str, most: int, values: dict[str, list[str]] = VALUES) -> str:
    keys = draw(st.lists(st.sampled_from(sorted(values)), unique=True, max_size=most))
    pairs = [f"{key}-{draw(st.sampled_from(values[key]))}" for key in keys]
    suffix = draw(st.sampled_from(["bold", "bold", "T1w"]))
    return draw(st.sampled_from(FOLDERS)) + "_".join([*pairs, suffix]) + extension


TREES = st.lists(
    paths(".json", 3) | st.sampled_from(FOLDERS).map(lambda folder: folder + DESCRIPTION),
    unique=True,
    max_size=25,
)


@settings(deadline=None)
@given(TREES, st.lists(paths(".nii.gz", 7), min_size=1, max_size=10), st.randoms())
def test_the_principle_by_its_text(files: list[str], images: list[str], random: Any) -> None:
    sidecars = Sidecars({path: path for path in files})
    shuffled = random.sample(files, len(files))
    for image in images:
        expected = by_the_text(files, image)
        found = sidecars.applying(image)
        assert found == [(path, path) for path in expected]
        assert Sidecars({path: path for path in shuffled}).applying(image) == found
        folders = defaultdict(list)
        for path in expected:
            folders[path.rpartition("/")[0]].append(path)
        assert ambiguous(found) == [group for group in folders.values() if len(group) > 1]


@settings(deadline=None)
@given(TREES, paths(".nii.gz", 7), st.randoms())
def test_the_order_of_entities_does_not_matter(files: list[str], image: str, random: Any) -> None:
    folder, _, name = image.rpartition("/")
    *pairs, end = name.split("_")
    other = "/".join(filter(None, [folder, "_".join([*random.sample(pairs, len(pairs)), end])]))
    sidecars = Sidecars(dict.fromkeys(files, ""))
    assert sidecars.applying(other) == sidecars.applying(image)
    assert entities_of(other) == entities_of(image)


def test_many_sidecars_in_one_folder() -> None:
    names = [f"sub-1/func/sub-1_task-rest_acq-{n}_run-{n}_bold" for n in range(3000)]
    begun = time.process_time()
    sidecars = Sidecars(dict.fromkeys(["bold.json", *(f"{name}.json" for name in names)], ""))
    found = [sidecars.applying(f"{name}.nii.gz") for name in names]
    # Some 0.06 s; comparing each with each takes seconds.
    assert time.process_time() - begun < 1
    assert found == [[("bold.json", ""), (f"{name}.json", "")] for name in names]


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        (b'{"a": 1, "b": {"c": 2}}', {"a": 1, "b": {"c": 2}}),
        (b"{}", {}),
        (b'\xef\xbb\xbf{"a": "\xc3\xa9"}', {"a": "é"}),
        (b'{"a": 1, "a": 2, "b": {"c": 1, "c": [true]}}', {"a": 2, "b": {"c": [True]}}),
        (b'{"a": 1, "a": NaN}', {"a": pytest.approx(float("nan"), nan_ok=True)}),
        (b'{"a": 1e400}', {"a": Beyond("1e400")}),
        (b'{"a": -Infinity, "b": null}', {"a": -float("inf"), "b": None}),
    ],
)  # fmt: skip
def test_texts_that_can_be_read(text: bytes, metadata: dict[str, Any]) -> None:
    assert merge([("x.json", text)]) == (metadata, [])


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"1", b'"a"', b"null", b"{'a': 1}", b'{"a": 1,}', b'{"a": "\xe9"}', b'{"a": 1} x',
        b"/annex/objects/MD5E-s1--d41d8cd98f00b204e9800998ecf8427e.json\n", '{"a": 1}'.encode("utf-16"),
        b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"a": 1, "a":' * 500 + b"1" + b"}" * 500,
        b'{"a": 1, "a": +Infinity}',
    ],
)  # fmt: skip
def test_texts_that_cannot_be_read(text: bytes) -> None:
    """They are named, and what the others say stands."""
    texts = [("far.json", b'{"a": 1}'), ("near.json", text), ("nearest.json", b'{"b": 2}')]
    assert merge(texts) == ({"a": 1, "b": 2}, ["near.json"])


def test_the_nearer_value_replaces_the_farther_as_it_is() -> None:
    far = b'{"a": {"x": 1}, "b": [1, 2], "c": 1, "d": 4}'
    texts = [("far.json", far), ("near.json", b'{"a": {"y": 2}, "b": [], "c": null}')]
    assert merge(texts) == ({"a": {"y": 2}, "b": [], "c": None, "d": 4}, [])
    assert merge([]) == ({}, [])


METADATA = st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.floats() | st.text(max_size=3))


@settings(deadline=None)
@given(st.lists(METADATA, max_size=4))
def test_merging_is_key_by_key(layers: list[dict[str, Any]]) -> None:
    merged, unreadable = merge([(f"{n}.json", json.dumps(layer).encode()) for n, layer in enumerate(layers)])
    assert not unreadable
    assert merged.keys() == {key for layer in layers for key in layer}
    for key, value in merged.items():
        expected = [layer[key] for layer in layers if key in layer][-1]
        assert digest({"": value}) == digest({"": expected})


@settings(deadline=None)
@given(METADATA, st.randoms())
def test_digests(metadata: dict[str, Any], random: Any) -> None:
    hexadecimal, text = digest(metadata)
    assert hexadecimal == hashlib.sha256(text.encode()).hexdigest()
    assert digest(dict(random.sample(list(metadata.items()), len(metadata)))) == (hexadecimal, text)
    assert digest(merge([("x.json", text.encode())])[0]) == (hexadecimal, text)


def test_a_digest_does_not_change() -> None:
    assert digest({"b": 1.0, "a": ["é", None]}) == (
        "cdaac8d4a81d1e8220bd4b4f97ca789f124a9c9a90ed63ba3aa7adb9e1545318",
        '{"a":["é",null],"b":1.0}',
    )


# bids2table compares an index as text, and leaves the order within a folder to chance. It takes a folder of subjects
# for a dataset even without a description, and no other: so all datasets get one.
_AS_TEXT = VALUES | {"run": ["1", "2"], "echo": ["0", "1"]}
_ROOTS = ["", "derivatives/", "derivatives/x/", "sourcedata/raw/", "sub-1/derivatives/"]


@settings(deadline=None)
@given(
    st.lists(paths(".json", 3, _AS_TEXT), unique=True, max_size=12),
    st.lists(paths(".nii.gz", 7, _AS_TEXT), max_size=5),
)
def test_a_library_agrees(
    tmp_path_factory: pytest.TempPathFactory, files: list[str], images: list[str]
) -> None:
    bids2table = pytest.importorskip("bids2table")
    root = tmp_path_factory.mktemp("dataset")  # a fresh one each time: the library remembers folders
    files = [*files, *(folder + DESCRIPTION for folder in _ROOTS)]
    for path in files:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(json.dumps({path: 1, "nearest": path}))
    sidecars = Sidecars(dict.fromkeys(files, ""))
    for image in images:
        found = sidecars.applying(image)
        metadata, _ = merge([(path, (root / path).read_bytes()) for path, _ in found])
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        theirs = bids2table.load_bids_metadata(root / image)
        assert theirs.keys() == metadata.keys()
        assert theirs == metadata or ambiguous(found)


def git(repository: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, input=stdin).stdout


class Version:
    """A tagged version of a dataset: its sidecars, and the MD5 of its images by their paths."""

    def __init__(self, repository: Path, ref: str) -> None:
        entries = [
            entry.split("\t", 1) for entry in git(repository, "ls-tree", "-rz", ref).decode().split("\0")[:-1]
        ]
        blobs = {path: header.split()[2] for header, path in entries}
        self.sidecars = Sidecars({path: blob for path, blob in blobs.items() if path.endswith(".json")})
        self.repository = repository
        self.contents: dict[str, bytes] = {}
        images = [path for path in blobs if path.endswith(".nii.gz")]
        targets = git(
            repository, "cat-file", "--batch", stdin="".join(f"{blobs[path]}\n" for path in images).encode()
        )
        self.md5 = dict(
            zip(images, re.findall(rb"/MD5E-s\d+--([0-9a-f]{32})[^/\n]*\n", targets), strict=True)
        )

    def metadata(self, image: str) -> dict[str, Any]:
        found = self.sidecars.applying(image)
        assert not ambiguous(found)
        for _, blob in found:
            self.contents.setdefault(blob, git(self.repository, "cat-file", "blob", blob))
        metadata, unreadable = merge([(path, self.contents[blob]) for path, blob in found])
        assert not unreadable
        return metadata


OF_THE_NAME = {"subject_id": "subject", "session_id": "session", "task_id": "task", "run_id": "run"}


@pytest.mark.parametrize(
    "accession",
    [
        "ds000001", "ds000002", "ds000003", "ds000005", "ds000006", "ds000008", "ds000009", "ds000011", "ds000017",
        "ds000051", "ds000102", "ds000114", "ds000220",
    ],
)  # fmt: skip
def test_mriqc_read_the_same(accession: str, shared: Path, tmp_path: Path) -> None:
    """What MRIQC wrote of an image's metadata is what applies to it, in every version that has the image."""
    bundle = shared / "annex" / f"{accession}.bundle"
    git(tmp_path, "clone", "--quiet", "--bare", str(bundle), "repository")
    repository = tmp_path / "repository"
    refs = (
        git(repository, "for-each-ref", "--format=%(refname)", "refs/tags", "refs/heads/master")
        .decode()
        .split()
    )
    versions = [Version(repository, ref) for ref in refs]
    with gzip.open(shared / "mriqc" / f"{accession}.jsonl.gz") as lines:
        records = [json.loads(line) for line in lines]
    assert records
    for one in records:
        received = one["record"]["bids_meta"]
        image = one["path"].replace(".json", ".nii.gz")
        holding = [
            v for v in versions if v.md5.get(image, b"").decode() == one["record"]["provenance"]["md5sum"]
        ]
        assert holding, image
        entities = entities_of(image)
        assert entities is not None and entities["suffix"] == received["modality"]
        for name, entity in OF_THE_NAME.items():
            # Those who wrote these records read runs as numbers.
            assert str(received.get(name)).lstrip("0") == str(entities.get(entity)).lstrip("0"), image
        for version in holding:
            expected = {key: value for key, value in received.items() if key not in OF_THE_NAME}
            assert (
                version.metadata(image) | {"dataset": accession, "modality": entities["suffix"]} == expected
            )
