"""Image quality metrics: drawn, kept consistent, repeated with noise, shifted from version to version.

Definitions of the metrics: https://mriqc.readthedocs.io/en/latest/measures.html
"""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from flows.demo.corpus.chance import signif
from flows.demo.corpus.schedule import VERSIONS, age_of
from flows.demo.corpus.sites import Site

Iqms = dict[str, float | int]

TISSUES = ("csf", "gm", "wm")
_RAYLEIGH = math.sqrt(2 / (4 - math.pi))
"""Dietrich's SNR divides by the background's spread, corrected for its Rayleigh distribution."""

_SHARES = ("efc", "gcor", "icvs_", "tpm_overlap_", "wm2max")  # at most one, by definition
_FIXED = ("size_", "spacing_", "fd_", "dummy_trs")  # noise and versions leave them alone
_VERSION_SHIFT = {
    # Relative change from the oldest version to the newest. Invented sizes, on metrics whose definition or
    # mask did change between MRIQC's releases.
    **{
        "efc": 0.06,
        "fber": 0.8,
        "qi_2": 0.5,
        "fwhm_x": -0.3,
        "fwhm_y": -0.3,
        "fwhm_z": -0.3,
        "inu_med": 0.04,
    },
    **{
        "aor": -0.4,
        "aqi": 0.2,
        "tsnr": 0.15,
        "gcor": 0.1,
        "dvars_std": -0.05,
        "dvars_nstd": 0.12,
        "wm2max": 0.05,
    },
    **{f"summary_{part}_stdv": 0.1 for part in ("bg", "fg", *TISSUES)},
    **{f"summary_{part}_mad": 0.08 for part in ("bg", "fg", *TISSUES)},
}


@cache
def _model(resource: str) -> dict[str, Any]:
    return json.loads((files("flows.demo") / "models" / f"{resource}.json").read_text(encoding="utf-8"))


@cache
def _stratum(resource: str, name: str) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Columns (k), scores (q), quantiles (k, q) and the Cholesky factor (k, k) of one part of a model."""
    model = _model(resource)
    part = next(stratum for stratum in model["strata"] if stratum["name"] == name)
    size = len(part["correlation"])
    matrix = np.eye(size)
    for row, values in enumerate(part["correlation"]):
        matrix[row, :row] = matrix[:row, row] = np.array(values) / 1000
    quantiles = np.array(list(part["quantiles"].values()))
    return list(part["quantiles"]), np.array(model["scores"]), quantiles, _cholesky(matrix)


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    """Lower factor of a positive definite ``matrix``; LAPACK's differs in its last bits from CPU to CPU."""
    factor = np.zeros_like(matrix)
    for i in range(len(matrix)):
        for j in range(i + 1):
            rest = float(matrix[i, j]) - math.fsum((factor[i, :j] * factor[j, :j]).tolist())
            factor[i, j] = math.sqrt(rest) if i == j else rest / float(factor[j, j])
    return factor


def draw(resource: str, site: Site, rng: np.random.Generator) -> Iqms:
    """One new bold or T2w image of ``site``: a draw from the fitted Gaussian copula, made consistent."""
    columns, scores, quantiles, factor = _stratum(resource, site.stratum)
    # Summed exactly, for the same reason that the factor is made by hand.
    normal = [math.fsum(row) for row in (factor * rng.standard_normal(len(columns))).tolist()]
    iqms: Iqms = {
        column: float(np.interp(z, scores, values))
        for column, z, values in zip(columns, normal, quantiles, strict=True)
    }
    # Sidecars and headers hold single precision; the header's spacings come out as such.
    iqms |= {f"size_{axis}": int(n) for axis, n in zip("xyz", site.matrix, strict=True)}
    iqms |= {f"spacing_{axis}": float(np.float32(mm)) for axis, mm in zip("xyz", site.spacing, strict=True)}
    voxels = math.prod(site.matrix)
    for name in [name for name in iqms if name.endswith("_n")]:
        iqms[name] = max(1, round(iqms[name] * voxels))
    if resource == "bold":
        _add_time(iqms, site, rng)
    else:
        total = sum(iqms[f"icvs_{tissue}"] for tissue in TISSUES)
        iqms |= {f"icvs_{tissue}": iqms[f"icvs_{tissue}"] / total for tissue in TISSUES}
    return consistent(iqms)


def _add_time(iqms: Iqms, site: Site, rng: np.random.Generator) -> None:
    volumes = int(rng.integers(site.volumes[0], site.volumes[1] + 1))
    iqms["size_t"] = volumes
    iqms["spacing_tr"] = float(np.float32(site.tr))
    iqms["dummy_trs"] = round(iqms["dummy_trs"])
    iqms["fd_num"] = min(volumes, round(iqms["fd_perc"] * volumes / 100))
    iqms["fd_perc"] = 100 * iqms["fd_num"] / volumes


def consistent(iqms: Iqms) -> Iqms:
    """``iqms`` with shares within one, percentiles in order, and metrics that follow from others computed."""
    out = dict(iqms)
    out |= {name: min(value, 1.0) for name, value in out.items() if name.startswith(_SHARES)}
    for part in ("bg", "fg", *TISSUES):
        names = [f"summary_{part}_{q}" for q in ("p05", "median", "p95")]
        if names[0] in out:
            out |= dict(zip(names, sorted(out[name] for name in names), strict=True))
    out["fwhm_avg"] = (out["fwhm_x"] + out["fwhm_y"] + out["fwhm_z"]) / 3
    if "summary_fg_n" in out:
        out["snr"] = _snr(out, "fg")
    else:
        _anatomical(out)
    return {name: signif(value) if isinstance(value, float) else value for name, value in sorted(out.items())}


def _snr(iqms: Iqms, part: str) -> float:
    count = iqms[f"summary_{part}_n"]
    spread = max(iqms[f"summary_{part}_stdv"], 1e-6)
    return iqms[f"summary_{part}_median"] / spread * math.sqrt(max(count - 1, 1) / count)


def _anatomical(out: Iqms) -> None:
    for tissue in TISSUES:
        out[f"snr_{tissue}"] = _snr(out, tissue)
        out[f"snrd_{tissue}"] = out[f"summary_{tissue}_median"] / (
            max(out["summary_bg_mad"], 1e-3) * _RAYLEIGH
        )
    out["snr_total"] = sum(out[f"snr_{tissue}"] for tissue in TISSUES) / 3
    out["snrd_total"] = sum(out[f"snrd_{tissue}"] for tissue in TISSUES) / 3
    contrast = max(abs(out["summary_wm_median"] - out["summary_gm_median"]), 1e-3)
    out["cjv"] = (out["summary_wm_mad"] + out["summary_gm_mad"]) / contrast
    out["cnr"] = contrast / math.hypot(*(out[f"summary_{part}_stdv"] for part in ("bg", "wm", "gm")))


def rerun(iqms: Iqms, rng: np.random.Generator) -> Iqms:
    """Another run of the same version on the same image: mostly 0.1 % off, now and then far off."""
    scale = float(rng.choice([0.0003, 0.002, 0.02, 0.3], p=[0.35, 0.45, 0.15, 0.05]))
    out = dict(iqms)
    for name in sorted(out):
        noise = float(rng.standard_normal())
        if not name.startswith(_FIXED) and not name.endswith("_n"):
            out[name] = out[name] * math.exp(scale * noise)
    return consistent(out)


def shifted(iqms: Iqms, made_with: str, version: str) -> Iqms:
    """``iqms``, computed by ``made_with``, as ``version`` has them: the same shift for all images."""

    def factor(name: str, release: str) -> float:
        return 1 + _VERSION_SHIFT[name] * age_of(release) / (len(VERSIONS) - 1)

    changed = {n: iqms[n] * factor(n, version) / factor(n, made_with) for n in iqms if n in _VERSION_SHIFT}
    return consistent(iqms | changed)
