"""Deposits as tests make them; run as a program, deposits in children that somebody kills.

The program reads lines of JSON (dataset, url, version, publish), makes each deposit in a child of its own, prints the
child's id when it begins and how it ended.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from pydantic import SecretStr

from curation.deposit import DepositReport, FigShare, Options, deposit
from curation.pull import Politeness
from tests.support.figshare_http import TOKEN

HASTE = Politeness(
    connections=4,
    per_second=0,
    attempts=6,
    first_wait=0.001,
    longest_wait=0.004,
    timeout=0.5,
    longest_retry_after=1,
)
VERSION = "2026.11.23"


def run_deposit(
    url: str,
    dataset: Path,
    version: str = VERSION,
    *,
    publish: bool = False,
    article: int | None = None,
    categories: tuple[str, ...] = ("Neuroscience",),
    politeness: Politeness = HASTE,
    check_seconds: float = 5.0,
) -> DepositReport:
    """One deposit with everything in haste."""
    options = Options(
        article=article,
        article_given=article is not None,
        categories=categories,
        confirm=(lambda report: True) if publish else None,
    )
    with FigShare(url, SecretStr(TOKEN), politeness, check_seconds) as client:
        return deposit(client, dataset, version, options)


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            # A group of its own, which can be killed with the commands that it started.
            os.setpgid(0, 0)
            # Nothing is sent before the parent's reader knows whom to kill.
            sys.stdin.close()
            os.read(int(asked["gate"]), 1) if "gate" in asked else None
            try:
                run_deposit(asked["url"], Path(asked["dataset"]), asked["version"], publish=asked["publish"])
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(json.dumps({"child": child}), flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
