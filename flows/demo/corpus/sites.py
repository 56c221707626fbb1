"""Invented imaging sites: what their scanners write into BIDS sidecars.

Values are typical of the scanners named (fields in tesla, times in seconds, spacings in mm); no site is a
real one. Manufacturers and models are spelled as their writers spell them, which is not one way. Sites of T1w
images are those of the ABIDE table (``flows.demo.corpus.tables``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

MANUFACTURERS: dict[str, tuple[str, ...]] = {
    "siemens": ("Siemens", "SIEMENS", "Siemens Healthineers"),
    "ge": ("GE", "GE_MEDICAL_SYSTEMS", "General Electric", "GE MEDICAL SYSTEMS"),
    "philips": ("Philips", "Philips Medical Systems", "PHILIPS"),
}
"""Vendor to the spellings records carry."""


@dataclass(frozen=True)
class Site:
    """One scanner with one protocol.

    Attributes:
        spacing: mm; matrix: voxels.
        stratum: which part of the fitted model the site's IQMs are drawn from.
        tasks: (task_id, TaskName) of its bold runs.
        volumes: range of the length of its bold runs.
        extra: further ``bids_meta`` keys, declared and undeclared.
    """

    name: str
    vendor: str
    models: tuple[str, ...]
    tesla: float
    tr: float
    te: float
    flip: float
    spacing: tuple[float, float, float]
    matrix: tuple[int, int, int]
    stratum: str
    tasks: tuple[tuple[str, str], ...] = ()
    volumes: tuple[int, int] = (150, 300)
    extra: dict[str, Any] = field(default_factory=dict)


_REST = (("rest", "Resting state"),)
_NBACK = (("nback", "N-back"), ("rest", "rest"))
_FACES = (("faces", "Faces matching"), ("stopsignal", "Stop signal"), ("rest", "Rest"))
_PRISMA = ("Prisma_fit", "Prisma", "MAGNETOM Prisma Fit")
_TRIO = ("TrioTim", "TRIOTIM", "Magnetom Trio")
_MR750 = ("DISCOVERY MR750", "DISCOVERY_MR750", "DISCOVERY_MR750w")
_ORIGINAL = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]

BOLD_SITES: tuple[Site, ...] = (
    Site(
        "aster",
        "siemens",
        _TRIO,
        2.89362,
        2.0,
        0.03,
        77.0,
        (3.0, 3.0, 4.0),
        (64, 64, 35),
        "early",
        _REST,
        extra={"SequenceName": "EPI BOLD", "PulseSequenceType": "EPI", "CogAtlasID": "trm_4c8a834779883"},
    ),
    Site(
        "birch",
        "siemens",
        _PRISMA,
        3.0,
        0.8,
        0.037,
        52.0,
        (2.0, 2.0, 2.0),
        (104, 104, 72),
        "public",
        _NBACK,
        (300, 420),
        {"MultibandAccelerationFactor": 8, "ImageType": _ORIGINAL, "TotalReadoutTime": 0.0597},
    ),
    Site(
        "clover",
        "ge",
        _MR750,
        3.0,
        2.5,
        0.03,
        83.0,
        (3.4375, 3.4375, 3.4),
        (64, 64, 42),
        "public",
        _REST,
        extra={
            "ImageType": ["ORIGINAL", "PRIMARY", "EPI", "NONE"],
            "PixelBandwidth": 7812.5,
            "ParallelReductionFactorInPlane": 2.0,
            "ScanOptions": "EPI_GEMS\\PFF",
        },
    ),
    Site(
        "daphne",
        "philips",
        ("Achieva", "Intera Achieva"),
        3.0,
        2.0,
        0.028,
        90.0,
        (3.0, 3.0, 3.5),
        (80, 80, 37),
        "early",
        _FACES,
        (180, 285),
        {"WaterFatShift": 11.3, "ScanningSequence": "GR", "SequenceVariant": "SK"},
    ),
    Site(
        "elder",
        "siemens",
        ("Avanto", "Espree"),
        1.5,
        3.0,
        0.04,
        90.0,
        (3.75, 3.75, 5.0),
        (64, 64, 26),
        "early",
        (("fingertapping", "Finger tapping"), ("rest", "Rest")),
        (71, 120),
        {"ReceiveCoilName": "HEA;HEP"},
    ),
    Site(
        "fern",
        "siemens",
        ("Skyra", "MAGNETOM Skyra"),
        3.0,
        3.0,
        0.025,
        90.0,
        (2.9, 2.9, 3.0),
        (80, 80, 50),
        "early",
        (("music", "Music"),),
        (105, 105),
        {"SequenceName": "EPI BOLD", "ConversionSoftware": "dcm2niix"},
    ),
    Site(
        "gorse",
        "ge",
        ("SIGNA EXCITE", "Signa HDxt"),
        1.5,
        2.0,
        0.03,
        77.0,
        (3.75, 3.75, 4.0),
        (64, 64, 30),
        "public",
        (("oddball", "Auditory oddball"),),
        (150, 200),
        {"SequenceVariant": ["NONE", "SK"]},
    ),
    Site(
        "hazel",
        "siemens",
        ("Investigational_Device_7T", "MAGNETOM 7T"),
        6.98,
        1.5,
        0.022,
        60.0,
        (1.5, 1.5, 1.65),
        (128, 128, 60),
        "early",
        (("movie", "Movie watching"),),
        (300, 719),
        {"ImageType": _ORIGINAL, "Modality": "MR", "TaskParameters": {"clips": 8, "fixation": 12.5}},
    ),
    Site(
        "iris",
        "philips",
        ("Ingenia", "Ingenia Elition X"),
        3.0,
        1.2,
        0.03,
        65.0,
        (2.5, 2.5, 2.5),
        (96, 96, 54),
        "public",
        _NBACK,
        (250, 300),
        {"ConversionSoftware": "dcm2niix", "ConversionSoftwareVersion": "v1.0.20220720"},
    ),
    Site(
        "juniper",
        "siemens",
        ("Verio", "Magnetom Verio"),
        2.89,
        2.2,
        0.03,
        80.0,
        (3.0, 3.0, 3.3),
        (64, 64, 39),
        "public",
        _FACES,
        (170, 230),
        {"SoftwareVersions": "syngo_MR_B17", "PercentPhaseFieldOfView": 100},
    ),
    Site(
        "kale",
        "siemens",
        ("Free.Max", "MAGNETOM Free.Max"),
        0.55,
        3.0,
        0.06,
        90.0,
        (4.0, 4.0, 4.4),
        (64, 64, 30),
        "public",
        _REST,
        (100, 160),
        {"SoftwareVersions": "syngo MR XA50"},
    ),
)

T2W_SITES: tuple[Site, ...] = (
    Site(
        "larch",
        "ge",
        _MR750,
        3.0,
        3.2,
        0.066833,
        90.0,
        (1.0, 1.0, 1.0),
        (204, 256, 256),
        "volume",
        extra={
            "MRAcquisitionType": "3D",
            "EchoTrainLength": 140,
            "PixelBandwidth": 244.0,
            "ScanningSequence": "RM",
            "ImageType": "['ORIGINAL', 'PRIMARY', 'OTHER']",
            "SequenceVariant": "NONE",
            "PatientPosition": "HFS",
        },
    ),
    Site(
        "maple",
        "siemens",
        _PRISMA,
        3.0,
        3.2,
        0.564,
        120.0,
        (0.8, 0.8, 0.8),
        (208, 300, 320),
        "volume",
        extra={
            "MRAcquisitionType": "3D",
            "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS3D"],
            "ParallelReductionFactorInPlane": 2,
            "ReceiveCoilName": "HeadNeck_64",
            "SequenceName": "_spc_314ns",
        },
    ),
    Site(
        "nettle",
        "siemens",
        ("Skyra", "SKYRA"),
        2.89,
        5.15,
        0.103,
        150.0,
        (0.8594, 0.8594, 3.0),
        (256, 256, 45),
        "slices",
        extra={"MRAcquisitionType": "2D", "EchoTrainLength": 17, "EffectiveEchoSpacing": 0.0114},
    ),
    Site(
        "olive",
        "philips",
        ("Achieva dStream", "Achieva"),
        3.0,
        2.5,
        0.2495,
        90.0,
        (1.0, 1.0, 1.0),
        (176, 256, 256),
        "volume",
        extra={"MRAcquisitionType": "3D", "WaterFatShift": 0.6, "EchoTrainLength": 97},
    ),
    Site(
        "poplar",
        "siemens",
        ("Avanto", "AVANTO"),
        1.5,
        4.0,
        0.09,
        150.0,
        (0.8984, 0.8984, 4.0),
        (256, 256, 44),
        "slices",
        extra={"MRAcquisitionType": "2D", "PixelBandwidth": 190, "ScanOptions": ["SAT1", "FS"]},
    ),
)


def spelled(site: Site, rng: np.random.Generator) -> dict[str, Any]:
    """Manufacturer and model as one study of ``site`` spells them."""
    makers = MANUFACTURERS[site.vendor]
    return {
        "Manufacturer": makers[int(rng.integers(len(makers)))],
        "ManufacturersModelName": site.models[int(rng.integers(len(site.models)))],
    }


def slice_times(tr: float, slices: int, bands: int = 1) -> list[float]:
    """Interleaved slice times (s), as ``SliceTiming`` of BIDS: even slices after odd ones."""
    shots = -(-slices // bands)
    order = [*range(0, shots, 2), *range(1, shots, 2)]
    at = {shot: round(place * tr / shots, 4) for place, shot in enumerate(order)}
    return [at[index % shots] for index in range(slices)]


def header_dump(site: Site, resource: str) -> dict[str, Any]:
    """A nested dump of DICOM headers, as dcmstack writes them (undeclared key ``global``)."""
    return {
        "const": {
            "Modality": "MR",
            "Rows": site.matrix[0],
            "Columns": site.matrix[1],
            "SliceThickness": site.spacing[2],
            "SeriesDescription": f"{resource}_{site.name}",
            "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            "CsaSeries": {"MrPhoenixProtocol": {"lContrasts": 1, "alTE": [round(site.te * 1e6)]}},
        }
    }


def site_meta(site: Site, resource: str, rng: np.random.Generator) -> dict[str, Any]:
    """The acquisition parameters that all images of one study of ``site`` share, in BIDS units."""
    meta: dict[str, Any] = {
        **spelled(site, rng),
        "MagneticFieldStrength": site.tesla,
        "RepetitionTime": site.tr,
        "EchoTime": site.te,
        "FlipAngle": site.flip,
        **site.extra,
    }
    if rng.random() < 0.6:
        # Larmor: 42.577 MHz/T (CODATA proton gyromagnetic ratio); scanners report it to the hertz.
        meta["ImagingFrequency"] = round(42.577478518 * site.tesla, 6)
    if resource == "bold":
        meta["PhaseEncodingDirection"] = ("j-", "j", "i")[int(rng.choice(3, p=[0.6, 0.3, 0.1]))]
        meta["EffectiveEchoSpacing"] = round(float(rng.uniform(0.00045, 0.0007)), 6)
        if rng.random() < 0.4:
            bands = int(site.extra.get("MultibandAccelerationFactor", 1))
            meta["SliceTiming"] = slice_times(site.tr, site.matrix[2], bands)
    if rng.random() < 0.1:
        meta["global"] = header_dump(site, resource)
    return meta
