"""What the CSV promises: readers get back what was received, with their defaults."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import tables
from curation.tables import TableWriter, csv_lines, encode


def as_csv(table: pa.Table) -> bytes:
    return (",".join(table.column_names) + "\n").encode() + bytes(csv_lines(table))


def bits(numbers: Sequence[float | None]) -> list[bytes]:
    """NaN and missing are one to pandas."""
    return [b"" if n is None or math.isnan(n) else struct.pack("<d", n) for n in numbers]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.floats() | st.integers(-5, 5).map(float), min_size=1))
def test_doubles_come_back_from_pandas_and_arrow(numbers: list[float | None]) -> None:
    content = as_csv(pa.table({"n": pa.array(numbers, pa.float64()), "id": ["x"] * len(numbers)}))
    frame = pd.read_csv(io.BytesIO(content))
    assert frame["n"].dtype == "float64"
    assert bits(frame["n"].tolist()) == bits(numbers)
    read = pa_csv.read_csv(io.BytesIO(content)).column("n")
    assert bits([None if n is None else float(n) for n in read.to_pylist()]) == bits(numbers)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["01", "", '"', "\r\n", "\x00", "NA"]), min_size=1))  # fmt: skip  # noqa: E501
def test_texts_come_back(texts: list[str | None]) -> None:
    content = as_csv(pa.table({"t": pa.array(texts, pa.string()), "id": ["x"] * len(texts)}))
    frame = pd.read_csv(io.BytesIO(content), dtype="str", keep_default_na=False)
    assert frame["t"].tolist() == ["" if text is None else text for text in texts]
    # Missing and empty are told apart by readers that look at the quotes.
    options = pa_csv.ConvertOptions(
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
        column_types={"t": pa.string()},
    )
    parsing = pa_csv.ParseOptions(newlines_in_values=True)
    read = pa_csv.read_csv(io.BytesIO(content), convert_options=options, parse_options=parsing)
    assert read.column("t").to_pylist() == texts


def test_forms() -> None:
    moment = datetime(2017, 8, 24, 21, 58, 35, tzinfo=UTC)
    table = pa.table(
        {
            "n": [1.0, -0.0, 0.1, 1e-7, 1e22, float("nan"), float("-inf"), 5e-324, None],
            "i": [0, 2**53, -1, 1, 1, 1, 1, 1, None],
            "t": ["a", "", 'q"', "=1", "l\r\nf", "\u00e9", "01", "\x00", None],
            "b": [True, False, True, True, True, True, True, True, None],
            "d": pa.array([moment] * 8 + [None], pa.timestamp("s", tz="UTC")),
        }
    )
    assert bytes(csv_lines(table)).decode() == (
        '1.0,0,"a",true,"2017-08-24T21:58:35Z"\n'
        '-0.0,9007199254740992,"",false,"2017-08-24T21:58:35Z"\n'
        '0.1,-1,"q""",true,"2017-08-24T21:58:35Z"\n'
        '1e-7,1,"=1",true,"2017-08-24T21:58:35Z"\n'
        '1e+22,1,"l\r\nf",true,"2017-08-24T21:58:35Z"\n'
        'nan,1,"\u00e9",true,"2017-08-24T21:58:35Z"\n'
        '-inf,1,"01",true,"2017-08-24T21:58:35Z"\n'
        '5e-324,1,"\x00",true,"2017-08-24T21:58:35Z"\n'
        ",,,,\n"
    )


def test_pieces_and_origins_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pa.table(
        {"n": [float(i % 7) for i in range(3_000)], "t": [f"text {i % 50}" * 9 for i in range(3_000)]}
    )
    scattered = pa.concat_tables([whole.slice(i, 7) for i in range(0, 3_000, 7)])

    def write(name: str, rows: pa.Table) -> int:
        with TableWriter(whole.schema, tmp_path / f"{name}.csv", tmp_path / f"{name}.parquet") as writer:
            writer.write(encode(rows, whole.schema))
        return writer.rows

    write("a", whole)
    write("b", scattered)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    monkeypatch.setattr(tables, "PIECE_BYTES", 10_000)
    monkeypatch.setattr(tables, "CSV_ROWS", 11)
    assert write("c", whole) == 3_000
    assert len({(tmp_path / f"{name}.csv").read_bytes() for name in "abc"}) == 1
    assert pq.read_table(tmp_path / "c.parquet").equals(whole)
