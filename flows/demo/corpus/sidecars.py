"""What scanners of the sites write into BIDS sidecars, study by study."""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.demo.corpus.sites import Site

MANUFACTURERS: dict[str, tuple[str, ...]] = {
    "siemens": ("Siemens", "SIEMENS", "Siemens Healthineers"),
    "ge": ("GE", "GE_MEDICAL_SYSTEMS", "General Electric", "GE MEDICAL SYSTEMS"),
    "philips": ("Philips", "Philips Medical Systems", "PHILIPS"),
}
"""Vendor to the spellings records carry."""

LARMOR = 42.577478518
"""MHz/T: the proton's gyromagnetic ratio (CODATA)."""
_SIEMENS = {3.0: 2.8947, 2.89: 2.89362}
"""The field (tesla) that Siemens' 3 T systems report, to the one they have: all resonate near 123.2 MHz."""


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


def imaging_frequency(tesla: float, vendor: str) -> float:
    """The Larmor frequency (MHz) of a scanner that reports a field of ``tesla``, to the hertz."""
    return round(LARMOR * (_SIEMENS.get(tesla, tesla) if vendor == "siemens" else tesla), 6)


def _echo_planar(site: Site, rng: np.random.Generator) -> dict[str, Any]:
    """What belongs to an echo-planar readout; https://bids-specification.readthedocs.io has the definitions."""
    meta: dict[str, Any] = {"PhaseEncodingDirection": ("j-", "j", "i")[int(rng.choice(3, p=[0.6, 0.3, 0.1]))]}
    steps = site.matrix[0 if meta["PhaseEncodingDirection"] == "i" else 1] - 1
    spacing = round(float(rng.uniform(0.00045, 0.0007)), 6)
    if "TotalReadoutTime" in site.extra:
        spacing = round(site.extra["TotalReadoutTime"] / steps, 6)
    elif rng.random() < 0.5:
        meta["TotalReadoutTime"] = round(spacing * steps, 6)
    meta["EffectiveEchoSpacing"] = spacing
    if rng.random() < 0.4:
        bands = int(site.extra.get("MultibandAccelerationFactor", 1))
        meta["SliceTiming"] = slice_times(site.tr, site.matrix[2], bands)
    return meta


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
        meta["ImagingFrequency"] = imaging_frequency(site.tesla, site.vendor)
    if resource == "bold":
        meta |= _echo_planar(site, rng)
    if rng.random() < 0.1:
        meta["global"] = header_dump(site, resource)
    return meta
