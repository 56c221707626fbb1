"""Lay out a fresh snapshot dataset: what is annexed and how, and the texts that do not change from night to night.

A DataLad procedure: ``datalad run-procedure -d DATASET mriqc_snapshot_layout``.
"""

import sys
from pathlib import Path

from datalad.api import save

GITATTRIBUTES = """\
* annex.backend=MD5E
* annex.largefiles=nothing
csv/** annex.largefiles=anything
parquet/** annex.largefiles=anything
audit/** annex.largefiles=anything
**/.git* annex.largefiles=nothing
"""

README = """\
# Snapshot of the MRIQC Web-API

Image quality metrics (IQMs) and ratings of magnetic resonance images that users of MRIQC sent to its public
Web-API (Esteban et al., Scientific Data 2019, https://doi.org/10.1038/s41597-019-0035-4).

| file | one row is |
|---|---|
| `csv/bold.csv`, `csv/T1w.csv`, `csv/T2w.csv` | an image (one checksum): its earliest record, values as received |
| `csv/bold_curated.csv`, `csv/T1w_curated.csv`, `csv/T2w_curated.csv` | an image: its best record, repaired |
| `csv/rating.csv` | a rating of an image, as sent, as a number, with the artifacts it names |
| `parquet/*.parquet` | the same tables, with types |
| `audit/records.csv` | a record of the service: its fate, why, and which records represent its image |
| `audit/quarantine.csv` | a rule that a record breaks, which kept it out of the tables |
| `audit/repairs.csv` | a cell of a curated table that is not what was received, and why |
| `audit/matches.csv` | a place where the file of an image is public |
| `audit/disagreements.csv` | a cell that is not what the public image's sidecar says |
| `audit/scrubbed.csv` | a kind of personal data and a column: how often it was removed or replaced |
| `report.html`, `figures/*.svg` | (a page to look at, in a browser) what came in, what became of it, and how it looks |
| `dictionary/*.json` | (a file a table) what every column means |
| `datapackage.json` | the same as a Frictionless data package |
| `snapshot.json` | counts, coverage, digests, versions |
| `code/` | the source and the rules that made the tables |

A release has these files, too; `git checkout VERSION` shows them. Nights after it keep `CHANGES.md` and `CITATION.cff`.

| file | |
|---|---|
| `CHANGES.md` | what every release changed, and the DOI of its deposit |
| `CITATION.cff` | how to cite it |
| `SHA256SUMS` | a checksum of every file, for `sha256sum -c` |
| `croissant.json` | the tables and their columns for search engines and machine learning (schema.org, Croissant) |
| `isatab/` | the study, its protocols and assays in ISA-Tab |
| `figures/growth.svg` | records and images over time |

`datalad get csv/T1w_curated.csv` fetches a table; `pandas.read_csv("csv/T1w_curated.csv")` reads it. Start with the
curated tables; look into `flags` before using a row.

Columns are `md5sum` (of the image file), `created` (UTC), the IQMs, `bids_meta_*` (acquisition parameters),
`provenance_*`, and `record_id` (the record's `_id`). Keys that have no column of their own, and values that their
column cannot hold, are JSON in `bids_meta_extra` and `extra`. Missing values are empty; `nan`, `inf` and `-inf` are
values that were sent. A text that a spreadsheet would take for a formula stands only inside that JSON.

The curated tables are repaired and harmonised: group by `manufacturer` and `field_strength_nominal` without cleaning
anything. `audit/repairs.csv` has every cell that is not what was received, and why.

E-mail addresses and names are removed, subject and session ids are SHA-256 digests, serial numbers and raters' names
are pseudonyms. `audit/scrubbed.csv` counts what was removed.
"""

LICENSE = """\
The data in this dataset are dedicated to the public domain under CC0 1.0 Universal:
https://creativecommons.org/publicdomain/zero/1.0/legalcode
"""


def main(dataset: Path) -> None:
    """Write the files and save them."""
    for name, text in {".gitattributes": GITATTRIBUTES, "README.md": README, "LICENSE": LICENSE}.items():
        (dataset / name).write_text(text, encoding="utf-8")
    save(dataset=dataset, message="Lay out the snapshot dataset", on_failure="stop")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
