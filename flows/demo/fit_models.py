"""Fit the small models the demo corpus draws bold and T2w IQMs from.

``python -m flows.demo.fit_models WEBAPI_DIR MRIQC_DIR`` reads records of the service
(``WEBAPI_DIR/{bold,T2w}.jsonl.gz``, one document a line) and outputs of MRIQC (``MRIQC_DIR/*.jsonl.gz``,
``{"path", "record"}`` a line) and writes ``flows/demo/models/{bold,T2w}.json``. Only summaries are kept: per
IQM the values at 33 normal scores, and one rank correlation matrix a stratum. No record can be read back from
them.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

SCORES = np.linspace(-2.8, 2.8, 33)
"""Normal scores of the quantile grid: even steps there put the points where the tails need them."""

LEAST_EIGENVALUE = 0.02
"""The correlation matrix is shrunk until it has this one: rounding must not make it indefinite."""

# Drawn from the site instead, or computed from the others (``flows.demo.corpus.iqms``).
_NOT_FITTED = {
    *("size_x", "size_y", "size_z", "size_t", "spacing_x", "spacing_y", "spacing_z", "spacing_tr"),
    *("fwhm_avg", "fd_num", "snr", "snr_total", "snr_csf", "snr_gm", "snr_wm"),
    *("snrd_total", "snrd_csf", "snrd_gm", "snrd_wm", "cnr", "cjv"),
}


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def iqm_frame(documents: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The fitted IQMs of ``documents``, one row an image; voxel counts as shares of the image's voxels."""
    rows, seen = [], set()
    for document in documents:
        checksum = document["provenance"]["md5sum"]
        if checksum in seen:
            continue
        seen.add(checksum)
        voxels = document["size_x"] * document["size_y"] * document["size_z"]
        values = {
            k: float(v) for k, v in document.items() if isinstance(v, int | float) and k not in _NOT_FITTED
        }
        rows.append({k: v / voxels if k.endswith("_n") else v for k, v in values.items()})
    return pd.DataFrame(rows).sort_index(axis=1).dropna(axis=1)


def _significant(value: float, digits: int = 4) -> float:
    return float(f"{value:.{digits}g}")


def gaussian_correlation(frame: pd.DataFrame) -> np.ndarray:
    """Correlation of the normal scores that has the ranks' correlation, (k, k), positive definite."""
    ranks = frame.rank().corr().fillna(0).to_numpy(copy=True)
    np.fill_diagonal(ranks, 1.0)
    matrix = 2 * np.sin(np.pi * ranks / 6)
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    if lowest < LEAST_EIGENVALUE:
        share = (LEAST_EIGENVALUE - lowest) / (1 - lowest)
        matrix = (1 - share) * matrix + share * np.eye(len(matrix))
    return matrix


def fit(name: str, documents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One stratum: grid of quantiles and lower triangle (no diagonal) of correlations in thousandths."""
    frame = iqm_frame(documents)
    levels = [NormalDist().cdf(score) for score in SCORES]
    matrix = gaussian_correlation(frame)
    return {
        "name": name,
        "images": len(frame),
        "quantiles": {
            column: [_significant(value) for value in np.quantile(frame[column], levels)] for column in frame
        },
        "correlation": [[round(1000 * value) for value in matrix[i, :i]] for i in range(len(matrix))],
    }


def bold_strata(webapi: Path, mriqc: Path) -> list[dict[str, Any]]:
    """Two strata: what the service received in 2017, and MRIQC 0.16.1 on public datasets."""
    outputs = (line["record"] for path in sorted(mriqc.glob("*.jsonl.gz")) for line in _documents(path))
    public = [record for record in outputs if record["bids_meta"]["modality"] == "bold"]
    return [fit("early", _documents(webapi / "bold.jsonl.gz")), fit("public", public)]


def t2w_strata(webapi: Path) -> list[dict[str, Any]]:
    """Two strata: multi-slice images (slices of 2 mm and more) and volumetric ones."""
    documents = list(_documents(webapi / "T2w.jsonl.gz"))
    return [
        fit("slices", [d for d in documents if d["spacing_z"] >= 2]),
        fit("volume", [d for d in documents if d["spacing_z"] < 2]),
    ]


def write_model(path: Path, strata: list[dict[str, Any]]) -> None:
    """Write one model, a line a column, so that a new fit can be compared with the old one."""
    text = json.dumps(
        {"scores": [round(s, 3) for s in SCORES.tolist()], "strata": strata}, separators=(",", ":")
    )
    path.write_text(text.replace('],"', '],\n"').replace("],[", "],\n[") + "\n", encoding="utf-8")


def main() -> None:
    """Fit both models from the two folders on the command line."""
    parser = argparse.ArgumentParser(description="Fit the demo corpus' models of bold and T2w IQMs.")
    parser.add_argument("webapi", type=Path, help="folder with bold.jsonl.gz and T2w.jsonl.gz")
    parser.add_argument("mriqc", type=Path, help="folder with *.jsonl.gz of MRIQC outputs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "models")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_model(arguments.out / "bold.json", bold_strata(arguments.webapi, arguments.mriqc))
    write_model(arguments.out / "T2w.json", t2w_strata(arguments.webapi))


if __name__ == "__main__":
    main()
