"""Invented imaging sites: what their scanners write into BIDS sidecars.

Values are typical of the scanners named (fields in tesla, times in seconds, spacings in mm); no site is a
real one. Manufacturers and models are spelled as their writers spell them, which is not one way. Sites of T1w
images are those of the ABIDE table (``flows.demo.corpus.tables``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flows.demo.corpus.schedule import FIRST, LAST


@dataclass(frozen=True)
class Site:
    """One scanner with one protocol.

    Attributes:
        spacing: mm; matrix: voxels.
        stratum: which part of the fitted model the site's IQMs are drawn from.
        tasks: (task_id, TaskName) of its bold runs.
        volumes: range of the length of its bold runs.
        extra: further ``bids_meta`` keys, declared and undeclared.
        since, until: when the scanner's studies are sent.
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
    since: datetime = FIRST
    until: datetime = LAST


_REST = (("rest", "Resting state"),)
_NBACK = (("nback", "N-back"), ("rest", "rest"))
_FACES = (("faces", "Faces matching"), ("stopsignal", "Stop signal"), ("rest", "Rest"))
_PRISMA = ("Prisma_fit", "Prisma", "MAGNETOM Prisma Fit")
_TRIO = ("TrioTim", "TRIOTIM", "Magnetom Trio")
_MR750 = ("DISCOVERY MR750", "DISCOVERY_MR750", "DISCOVERY_MR750w")
_REPLACED, _GONE = datetime(2019, 11, 1, tzinfo=UTC), datetime(2018, 12, 20, tzinfo=UTC)
"""When old scanners sent their last study: most, and all, while the service cut fields to integers."""
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
        extra={
            "SequenceName": "EPI BOLD",
            "PulseSequenceType": "EPI",
            "CogAtlasID": "trm_4c8a834779883",
            "NumberOfAverages": 1,
            "SliceEncodingDirection": "k-",
        },
        until=_REPLACED,
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
        {
            "MultibandAccelerationFactor": 8,
            "ImageType": _ORIGINAL,
            "TotalReadoutTime": 0.0597,
            "InPlanePhaseEncodingDirection": "COL",
        },
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
            "EchoTrainLength": 1,
            "InPlanePhaseEncodingDirection": "ROW",
            "SliceEncodingDirection": "k-",
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
        {
            "WaterFatShift": 11.3,
            "ScanningSequence": "GR",
            "SequenceVariant": "SK",
            "EchoTrainLength": 39,
            "NumberOfAverages": 1,
            "SliceEncodingDirection": "k",
        },
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
        # Sparse: the scanner is silent for the last second of each volume.
        {"SequenceName": "EPI BOLD", "ConversionSoftware": "dcm2niix", "DelayTime": 1.0},
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
        {"SequenceVariant": ["NONE", "SK"], "InPlanePhaseEncodingDirection": "ROW", "NumberOfAverages": 1},
        until=_REPLACED,
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
        {
            "ConversionSoftware": "dcm2niix",
            "ConversionSoftwareVersion": "v1.0.20220720",
            "EchoTrainLength": 47,
            "MultibandAccelerationFactor": 2,
            "ParallelReductionFactorInPlane": 1.8,
            "SliceEncodingDirection": "k",
        },
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
        since=datetime(2021, 3, 1, tzinfo=UTC),
    ),
    Site(
        "lily",
        "ge",
        ("Signa SP", "SIGNA SP"),
        0.5,
        4.0,
        0.06,
        90.0,
        (3.75, 3.75, 6.0),
        (64, 64, 20),
        "early",
        (("fingertapping", "Finger tapping"),),
        (60, 90),
        {"InPlanePhaseEncodingDirection": "COL", "NumberOfAverages": 1},
        until=_GONE,
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
            "InPlanePhaseEncodingDirection": "ROW",
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
            "EffectiveEchoSpacing": 0.00366,
            "PhaseEncodingDirection": "j-",
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
        extra={
            "MRAcquisitionType": "2D",
            "EchoTrainLength": 17,
            "EffectiveEchoSpacing": 0.0114,
            "NumberOfAverages": 2,
            "PhaseEncodingDirection": "i",
            "SliceEncodingDirection": "k",
        },
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
        extra={
            "MRAcquisitionType": "3D",
            "WaterFatShift": 0.6,
            "EchoTrainLength": 97,
            "InPlanePhaseEncodingDirection": "COL",
            "ParallelReductionFactorInPlane": 2.2,
            "PhaseEncodingDirection": "j",
        },
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
        extra={
            "MRAcquisitionType": "2D",
            "PixelBandwidth": 190,
            "ScanOptions": ["SAT1", "FS"],
            "EffectiveEchoSpacing": 0.0098,
            "NumberOfAverages": 1,
            "SliceEncodingDirection": "k-",
        },
    ),
    Site(
        "quince",
        "siemens",
        ("Concerto", "MAGNETOM Concerto"),
        0.2,
        4.2,
        0.117,
        180.0,
        (0.8984, 0.8984, 6.0),
        (256, 256, 19),
        "slices",
        extra={
            "MRAcquisitionType": "2D",
            "EchoTrainLength": 7,
            "NumberOfAverages": 2,
            "SliceEncodingDirection": "k",
        },
        until=_GONE,
    ),
)
