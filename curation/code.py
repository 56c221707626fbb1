"""What results are made with: the code of the library, told apart by its digest."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa

ROOMS = ("curation", "schemas")


@cache
def code_digest() -> str:
    """SHA-256 (hex) of all code and declarations of the library, and of the versions of Arrow and NumPy."""
    digest = hashlib.sha256(f"{pa.__version__} {np.__version__}".encode())
    for room in ROOMS:
        folder = Path(str(files(room)))
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".yaml")):
            digest.update(f"\0{room}/{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
