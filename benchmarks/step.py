"""One function in a process of its own: ``python -m benchmarks.step MODULE FUNCTION ARGUMENTS``.

Arguments are a JSON object; the last line of standard output is what the function returns, as JSON. Nothing is imported
here but what that takes: processes that the function starts import this module again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, is_dataclass
from importlib import import_module
from typing import Any


def main() -> None:
    """Call the function that was named."""
    module, name, arguments = sys.argv[1:]
    found: Any = getattr(import_module(module), name)(**json.loads(arguments))
    if is_dataclass(found):
        found = asdict(found)  # type: ignore[arg-type]
    # A line of its own, whatever was printed before.
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
