"""Public datasets of the demonstration: some of the corpus' images, where an index finds them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

from curation.index.index import Index
from curation.index.sources import add_sources
from flows.demo.corpus import Corpus, PublicSources, make_corpus, write_public
from flows.demo.corpus.public import DATASETS, MIRROR


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return make_corpus()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> PublicSources:
    return write_public(tmp_path_factory.mktemp("public"))


def test_an_index_knows_some_images_of_the_corpus_some_of_them_twice(
    corpus: Corpus, sources: PublicSources, tmp_path: Path
) -> None:
    sent = {
        document["provenance"].get("md5sum")
        for resource in ("T1w", "T2w", "bold")
        for document in corpus.documents[resource]
    }
    index = Index(tmp_path / "index")
    with index.lock():
        report = add_sources(index, [str(path) for path in (*sources.first, sources.later)])
    assert not report.failed and not any(dataset.unusable for dataset in index.datasets)
    assert [dataset.dataset for dataset in index.datasets] == [
        *DATASETS[:-1],
        Path(MIRROR).stem,
        DATASETS[-1],
    ]
    copies = index.copies(["md5", "dataset", "sidecar"])
    known = set(copies.column("md5").to_pylist())
    assert 0.2 < len(known & sent) / len(sent) < 0.6
    datasets = (
        copies.group_by("md5").aggregate([("dataset", "count_distinct")]).column("dataset_count_distinct")
    )
    assert set(datasets.to_pylist()) == {1, 2}
    # A mirror has checksums only; clones have what scanners said, also of images that came without it.
    of_mirror = pc.equal(copies.column("dataset"), Path(MIRROR).stem)
    assert pc.equal(pc.is_null(copies.column("sidecar")), of_mirror).to_pylist() == [True] * len(copies)


def test_the_same_seed_gives_the_same_files(sources: PublicSources, tmp_path: Path) -> None:
    write_public(tmp_path)
    first = sources.later.parent
    files = sorted(path.relative_to(first) for path in first.rglob("*"))
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    for file in files:
        here, there = first / file, tmp_path / file
        if here.is_symlink():
            assert here.readlink() == there.readlink()
        elif here.is_file():
            assert here.read_bytes() == there.read_bytes()
