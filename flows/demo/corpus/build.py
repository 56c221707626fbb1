"""Puts the corpus together."""

from __future__ import annotations

from flows.demo.corpus import defects
from flows.demo.corpus.chance import ObjectIds, etag, stream
from flows.demo.corpus.images import Image, make_images
from flows.demo.corpus.model import Corpus, Document, Planted
from flows.demo.corpus.ratings import make_ratings
from flows.demo.corpus.submissions import document, make_submissions, update_time

SIZES: dict[str, tuple[int, int, int]] = {
    # resource: (images, repeats, of which of one image)
    "bold": (715, 585, 0),
    "T1w": (715, 585, 39),
    "T2w": (220, 180, 0),
}
RATINGS = 200
OFTEN = 30
"""An image with so many records is a frequent one."""


def make_corpus(seed: int = 2019) -> Corpus:
    """The demo corpus: 3,000 image records of 1,650 images, 200 ratings, and the truth about their defects.

    The same ``seed`` gives the same documents, in any process. With the default one every defect is planted;
    with others a rare one may find nothing to be planted in.

    Raises:
        flows.demo.corpus.tables.DemoDataMissing: ``mriqc-learn`` (extra ``demo``) is not installed.
    """
    documents: dict[str, list[Document]] = {}
    truth: list[Planted] = []
    everyone: list[Image] = []
    for resource in SIZES:
        images, records = _records(resource, seed)
        everyone += images
        truth += defects.repeats(records, OFTEN)
        frequent = {planted.detail["md5sum"] for planted in truth if planted.defect == "frequent-image"}
        truth += defects.sow(records, resource, frequent, seed)
        truth += defects.observe(records)
        documents[resource] = [record.document for record in records]
    documents["rating"], about_ratings = make_ratings(everyone, RATINGS, seed)
    truth += about_ratings
    for found in documents.values():
        found.sort(key=lambda one: one["_id"])
        for one in found:
            one["_etag"] = etag(one)
    return Corpus(documents, sorted(truth, key=lambda p: (p.resource, p.record_id, p.defect)))


def _records(resource: str, seed: int) -> tuple[list[Image], list[defects.Record]]:
    count, repeats, frequent = SIZES[resource]
    images = make_images(resource, count, seed)
    submissions = make_submissions(images, repeats, seed, frequent)
    submissions.sort(key=lambda submission: submission.sent)  # stable: the order of insertion
    minted, rng = ObjectIds(seed, resource), stream(seed, "updates", resource)
    return images, [
        defects.Record(document(one, minted.mint(one.sent), update_time(one.sent, rng)), one)
        for one in submissions
    ]
