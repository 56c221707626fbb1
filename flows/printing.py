"""What commands print: words for a person on standard error, results for a program on standard output."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console


def say(text: str) -> None:
    """Words for a person; what a program reads goes to standard output."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def print_json(value: Any) -> None:
    """A result, or a dataclass, as JSON with sorted keys."""
    content = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    sys.stdout.write(json.dumps(content, indent=2, sort_keys=True, default=str) + "\n")
