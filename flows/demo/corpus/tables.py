"""Real IQMs of T1w images with experts' labels: the tables that the PyPI package ``mriqc-learn`` ships.

Its ``abide.tsv`` and ``ds030.tsv`` are the training and test tables of MRIQC's classifier (Esteban et al.,
PLOS ONE 2017, 10.1371/journal.pone.0184661); ``abide_scan_parameters.tsv`` has the sites' protocols.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schemas import table

SCAN_PARAMETERS_NAME = {
    "CALTECH": "CALTEC",
    "LEUVEN": "LEUVEN_1",
    "UCLA": "UCLA_1",
    "UM": "UM_1",
    "BMC": "DS030",
}
"""Site as the tables of IQMs call it, to the name in the table of scan parameters, where they differ."""

_COUNTS = {"size_x", "size_y", "size_z"}


class DemoDataMissing(RuntimeError):
    """The tables of ``mriqc-learn`` are not installed."""


@dataclass(frozen=True)
class LabelledImage:
    """One row: the IQMs of a T1w image and what experts thought of it (-1 exclude, 0 doubtful, 1 accept)."""

    dataset: str
    site: str
    subject: str
    iqms: dict[str, float | int]
    labels: tuple[int, ...]


def _package_folder() -> Path:
    # Found, not imported: the package's own import needs pkg_resources, which new setuptools lack.
    spec = find_spec("mriqc_learn")
    if spec is None or not spec.submodule_search_locations:
        raise DemoDataMissing(
            "the demo corpus takes its T1w images from the package mriqc-learn, which is not installed; "
            "install the extra: pip install 'mriqc-snapshot[demo]'"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise DemoDataMissing(
            f"mriqc-learn is installed, but lacks {path.name}, which the demo corpus is made from; "
            "install the extra again: pip install --force-reinstall 'mriqc-snapshot[demo]'"
        )
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@cache
def labelled_images() -> tuple[LabelledImage, ...]:
    """All rows of both tables (1,101 and 265), in their order; each has every T1w IQM."""
    names = [column.name for column in table("T1w").columns if len(column.path) == 1]
    folder, images = _package_folder() / "datasets", []
    for dataset in ("abide", "ds030"):
        for row in _read(folder / f"{dataset}.tsv"):
            iqms = {name: int(float(row[name])) if name in _COUNTS else float(row[name]) for name in names}
            raters = (row.get(f"rater_{n}") for n in (1, 2, 3))
            labels = tuple(int(float(label)) for label in raters if label not in (None, "", "n/a"))
            images.append(LabelledImage(dataset, row["site"], row["subject_id"], iqms, labels))
    return tuple(images)


@cache
def scan_parameters() -> dict[str, dict[str, str]]:
    """Site to its protocol's rows, as text; blanks left out."""
    rows = _read(_package_folder() / "data" / "abide_scan_parameters.tsv")
    parameters: dict[str, dict[str, str]] = {}
    for row in rows:
        label = row[""].strip()
        for site, value in row.items():
            if site and value and value.strip():
                parameters.setdefault(site, {})[label] = value.strip()
    return parameters


_NUMBERS = {
    "TR (sec)": "RepetitionTime",
    "TE (sec)": "EchoTime",
    "TI": "InversionTime",
    "FA (deg)": "FlipAngle",
    "Bandwidth": "PixelBandwidth",
    "Averages": "NumberOfAverages",
    "Acceleration Factor PE": "AccelerationFactorPE",
    "Reference lines PE": "AccelNumReferenceLines",
}
_TEXTS = {
    "Version": "SoftwareVersions",
    "Seq. name": "ProtocolName",
    "Coil Elements": "ReceiveCoilName",
    "PAT mode": "ParallelAcquisitionTechnique",
    "Matrix coil mode": "MatrixCoilMode",
    # Not in the data dictionary:
    "Orientation": "ImageOrientationText",
    "Prescan Normalize": "PrescanNormalize",
}
_PHASE = {"AP": "j-", "RL": "i"}


def t1w_meta(site: str) -> dict[str, Any]:
    """Acquisition parameters of the T1w images of ``site``, as a BIDS sidecar has them (times in seconds).

    Manufacturer and model are as the table spells them; the field is 3 T, of which Siemens' older systems
    report 2.89362.
    """
    given = scan_parameters().get(SCAN_PARAMETERS_NAME.get(site, site), {})
    meta: dict[str, Any] = {key: float(given[name]) for name, key in _NUMBERS.items() if name in given}
    meta |= {key: given[name] for name, key in _TEXTS.items() if name in given}
    if given.get("PE Dir") in _PHASE:
        meta["PhaseEncodingDirection"] = _PHASE[given["PE Dir"]]
    if given.get("PAT mode", "None") != "None":
        # The table names the factor of GRAPPA (two everywhere) only.
        meta["ParallelReductionFactorInPlane"] = 2.0
    if "Vendor" in given:
        meta |= {"Manufacturer": given["Vendor"], "ManufacturersModelName": given["Model"]}
    older = given.get("Model", "") in ("Magnetom TrioTim", "Magnetom Verio")
    return meta | {"MagneticFieldStrength": 2.89362 if older else 3.0, "MRAcquisitionType": "3D"}
