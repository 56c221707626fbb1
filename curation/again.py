"""Makes the tables of a version again, with the code that lies beside them: ``python -m curation.again REQUEST``.

Run by :mod:`curation.rebuild` of any later release of this library, in a process that imports the library from the
version's own ``code/``. What a request says therefore stays as it is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from curation.code import source_digest
from curation.curate import curate
from curation.engine import Engine
from curation.errors import SnapshotError, UsageError
from curation.index.index import existing_index
from curation.pseudonyms import Pseudonyms
from curation.store import RecordStore


def main(request: Path) -> None:
    """Make the tables that a request asks for.

    Args:
        request: a JSON object: ``store`` (folder), ``run`` (number of the last run that counts), ``index`` (folder, or
            null), ``index_digest``, ``code`` (digest that the library has to have), ``out`` and ``scratch`` (folders),
            ``workers`` (number, or null).

    Raises:
        SnapshotError: see :func:`curation.curate.curate`.
        UsageError: another library was imported than was asked for.
    """
    asked = json.loads(request.read_bytes())
    if source_digest() != asked["code"]:
        raise UsageError(
            f"{Path(__file__).parent.parent}: the code is not the one that made the version ({source_digest()[:12]}, "
            f"expected {asked['code'][:12]}); was code/ edited?"
        )
    index = existing_index(Path(asked["index"])) if asked["index"] else None
    with Engine(workers=asked["workers"], partitions=str(Path(asked["scratch"]) / "typed")) as engine:
        curate(
            RecordStore(Path(asked["store"])).at(asked["run"]),
            Path(asked["out"]),
            pseudonyms=Pseudonyms.from_environment(),
            index=index.at(asked["index_digest"]) if index else None,
            engine=engine,
        )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except SnapshotError as error:
        sys.exit(f"{error}")
