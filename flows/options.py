"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ApiUrl = Annotated[
    str | None, typer.Option("--api-url", help="Base address of the Web-API.", show_default=False)
]
Store = Annotated[
    Path | None, typer.Option("--store", help="Folder of the record store.", show_default=False)
]
Dataset = Annotated[
    Path | None, typer.Option("--dataset", help="Folder of the DataLad dataset.", show_default=False)
]
IndexPath = Annotated[
    Path | None,
    typer.Option(
        "--index", help="Folder of the index of public images; without, none is asked.", show_default=False
    ),
]
Withdrawals = Annotated[
    Path | None,
    typer.Option(
        "--withdrawals",
        help="File (TOML) of requests to withdraw records; without, those that the store knows stay in effect.",
        show_default=False,
    ),
]
Resources = Annotated[
    list[str] | None,
    typer.Option("--resource", help="T1w, T2w, bold or rating; again for more.", show_default=False),
]
MoreResources = Annotated[
    list[str] | None,
    typer.Argument(metavar="[R ...]", help="More resources after --resource.", show_default=False),
]
Connections = Annotated[
    int | None, typer.Option("--connections", help="Requests under way at once.", show_default="4")
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", help="Requests a second, 0 for no limit.", show_default="10, none on loopback"),
]
AcceptCoverage = Annotated[
    bool,
    typer.Option(
        "--accept-coverage", help="Publish even tables that cover much less than those published last."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", help="Address of a Dask scheduler, whose workers share the work.", show_default=False
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Processes and threads on this machine.", show_default="its processors"),
]
Partitions = Annotated[
    str | None,
    typer.Option(
        "--partitions",
        help="Folder or URL (s3://...) of typed columns, which all workers reach.",
        show_default="beside the store's parts",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
