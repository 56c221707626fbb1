"""Measures a function in a process of its own, so that nothing is warm and its peak of memory is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.memory import PeakMemory
from curation.pseudonyms import KEY_VARIABLE

# No secret: the people of the corpus are invented.
ENVIRONMENT = {KEY_VARIABLE: "the benchmark's key for pseudonyms"}
_ROOT = Path(__file__).parent.parent


class StepFailedError(Exception):
    """Something that was to be measured failed; the message ends with what it wrote to standard error."""


@dataclass(frozen=True)
class Alone:
    """What became of one process.

    Attributes:
        figures: what the function returned.
        seconds: from the start of the process to its end, with Python's start and imports.
        peak_mb: highest sum of the resident memory of the process and all that it started, MB.
    """

    figures: dict[str, Any]
    seconds: float
    peak_mb: float


def run_alone(function: Callable[..., Any], **arguments: Any) -> Alone:
    """Call a function of a module, with keyword arguments that JSON can hold (paths become texts).

    Raises:
        StepFailedError: the function raised, or its process was killed.
    """
    return run_command(
        [
            *(sys.executable, "-m", "benchmarks.step", function.__module__, function.__name__),
            json.dumps(arguments, default=str),
        ]
    )


def run_command(command: list[str], *, environment: dict[str, str] | None = None) -> Alone:
    """Run a command whose standard output is JSON, or ends with a line of JSON.

    Raises:
        StepFailedError: its exit code is not 0.
    """
    # What was written before goes to disk now, and costs this process nothing.
    os.sync()
    begun = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env=os.environ | ENVIRONMENT | (environment or {}),
    ) as process:
        try:
            with PeakMemory(process.pid) as peak:
                output, errors = process.communicate()
        except BaseException:
            process.kill()
            raise
        seconds = time.perf_counter() - begun
    if process.returncode:
        raise StepFailedError(
            f"{' '.join(command[1:])} ended with exit code {process.returncode}:\n{errors.strip()}"
        )
    return Alone(_last_json(output), seconds, peak.megabytes)


def _last_json(output: str) -> dict[str, Any]:
    text = output.strip()
    last = text.rpartition("\n")[2]
    return json.loads(last if last.startswith("{") else text)
