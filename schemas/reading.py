"""Reads the YAML files that this project ships."""

from __future__ import annotations

from typing import Any

import yaml

# libyaml's is ten times as quick, and every command reads some; PyYAML may have been built without it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(content: bytes) -> Any:
    """What a YAML file holds, as :func:`yaml.safe_load` reads it.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(content, Loader=_Loader)
