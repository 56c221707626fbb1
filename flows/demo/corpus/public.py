"""Public datasets that have some of the corpus' images: invented as they are, and laid out as real ones.

A clone of a public dataset has sidecars, and links in place of images; the links name git-annex keys, which tell the
images' checksums. A mirror of it has a list of checksums only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from flows.demo.corpus.build import SIZES
from flows.demo.corpus.images import ENTITIES, Image, make_images
from schemas import table
from schemas.dictionary import Resource

EVERY = 12
"""Of each resource, a dataset has the images of every such study, beginning with one of its own."""
DATASETS = ("demo-ds01", "demo-ds02", "demo-ds03")
"""Clones, in the order in which they become public; the last one later than the others."""
MIRROR = "demo-mirror.md5"
"""Checksums of all images of the first dataset, and of studies that only the mirror has."""
_BYTES = 10_000_000
"""Size of every image, in its key; nobody asks for its content."""
_FOLDERS = {"bold": "func", "T1w": "anat", "T2w": "anat"}


@dataclass(frozen=True)
class PublicSources:
    """What an index of public images is made from.

    Attributes:
        first: that are public from the beginning, the primary ones before the mirror.
        later: that becomes public after the first night.
    """

    first: tuple[Path, ...]
    later: Path


def write_public(folder: Path, seed: int = 2019) -> PublicSources:
    """Write the clones and the mirror's list into a folder.

    Args:
        folder: to make them in.
        seed: of the corpus whose images they have.
    """
    everyone = {resource: make_images(resource, count, seed) for resource, (count, _, _) in SIZES.items()}
    *cloned, alone = [_placed(everyone, first) for first in range(len(DATASETS) + 1)]
    clones = [_write_clone(folder / name, images) for name, images in zip(DATASETS, cloned, strict=True)]
    mirrored = cloned[0] | {f"more/{path}": image for path, image in alone.items()}
    mirror = folder / MIRROR
    mirror.write_text("".join(f"{image.md5sum}  {path}\n" for path, image in mirrored.items()), "utf-8")
    return PublicSources((*clones[:-1], mirror), clones[-1])


def _placed(everyone: Mapping[str, Sequence[Image]], first: int) -> dict[str, Image]:
    """Images of a dataset by their path in it."""
    found = {}
    for resource, images in everyone.items():
        studies = sorted({image.study for image in images})[first::EVERY]
        for number, image in enumerate((one for one in images if one.study in studies), 1):
            subject = f"sub-{resource}{number:03d}"
            found[f"{subject}/{_FOLDERS[resource]}/{_name(subject, image)}"] = image
    return found


def _name(subject: str, image: Image) -> str:
    if image.resource != "bold":
        return f"{subject}_{image.resource}.nii.gz"
    task = "".join(letter for letter in str(image.meta["task_id"]) if letter.isalnum())
    return f"{subject}_task-{task}_run-{image.meta['run_id']}_bold.nii.gz"


def _write_clone(folder: Path, images: Mapping[str, Image]) -> Path:
    folder.mkdir(parents=True)
    _write_json(
        folder / "dataset_description.json",
        {
            "Name": f"{folder.name}: invented images of a demonstration",
            "BIDSVersion": "1.10.0",
            "License": "CC0",
        },
    )
    for path, image in images.items():
        file = folder / path
        file.parent.mkdir(parents=True)
        key = f"MD5E-s{_BYTES}--{image.md5sum}.nii.gz"
        file.symlink_to(f"../../.git/annex/objects/{key}/{key}")
        _write_json(file.with_name(file.name.replace(".nii.gz", ".json")), _sidecar(image))
    return folder


def _sidecar(image: Image) -> dict[str, Any]:
    """What the scanner says of an image: parameters that BIDS has, also those that never reached MRIQC."""
    known = _parameters(image.resource)
    return {key: value for key, value in image.meta.items() if key in known and key not in ENTITIES}


def _parameters(resource: str) -> Sequence[str]:
    names = (column.name for column in table(cast(Resource, resource)).columns)
    return [name.removeprefix("bids_meta_") for name in names if name.startswith("bids_meta_")]


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
