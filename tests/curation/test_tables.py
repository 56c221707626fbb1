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
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import tables
from curation.partitions import Partition
from curation.tables import TableWriter, csv_lines, encode, rows_of


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


CELLS = st.tuples(
    st.none() | st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(['"', "", "a,b", "\r\n"]),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.booleans(),
    # From the year 1 to some after 9999.
    st.none() | st.integers(-62_135_596_800, 260_000_000_000),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(CELLS, min_size=1))
def test_tables_without_doubles_have_the_same_lines(rows: list[tuple[object, ...]]) -> None:
    kinds = (pa.string(), pa.int64(), pa.bool_(), pa.timestamp("s", "UTC"))
    table = pa.table(
        [pa.array(c, k) for c, k in zip(zip(*rows, strict=True), kinds, strict=True)], list("tibd")
    )
    beside = table.add_column(0, "n", pa.array([0.5] * len(rows)))
    lines = [bytes(csv_lines(beside.slice(row, 1))) for row in range(len(rows))]
    assert all(line.startswith(b"0.5,") for line in lines)
    assert bytes(csv_lines(table)) == b"".join(line.removeprefix(b"0.5,") for line in lines)
    moments = pc.strftime(table.column("d").cast(pa.timestamp("s")), format="%Y-%m-%dT%H:%M:%SZ").to_pylist()
    only = csv_lines(table.select(["d"])).tobytes().decode().splitlines()
    assert only == [f'"{one}"' if one is not None else "" for one in moments]


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


@pytest.mark.parametrize("large", [0, 3_000, 1 << 40])
def test_parts_with_long_texts_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    """Offsets of 32 or 64 bits make no difference to what is read, whichever parts need which."""
    monkeypatch.setattr(tables, "LARGE_BYTES", large)
    schema = pa.schema([("t", pa.string()), ("n", pa.int64())])
    small, long = Partition(str(tmp_path), "small.parquet"), Partition(str(tmp_path), "long.parquet")
    small.write(schema, [pa.table({"t": ["a", "b"], "n": [1, 2]}, schema=schema)])
    long.write(schema, [pa.table({"t": ["x" * 5_000, "y"], "n": [3, 4]}, schema=schema)])
    rows = pd.DataFrame({"part": [1, 0, 1], "row": [1, 0, 0]})
    (some,) = rows_of([small, long], rows)
    assert some.read(["n", "t"]).to_pylist() == [
        {"n": 4, "t": "y"}, {"n": 1, "t": "a"}, {"n": 3, "t": "x" * 5_000}
    ]  # fmt: skip


def test_where_a_table_is_cut_depends_on_what_it_holds_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PIECE_BYTES", 2_000)
    whole = pa.table({"t": [None, "text"] * 100, "n": [1.0, None] * 100})
    scattered = pa.concat_tables([whole.slice(start, 7) for start in range(0, 200, 7)])
    wide = scattered.cast(pa.schema([("t", pa.large_string()), ("n", pa.float64())]))
    sizes = [[len(piece) for piece in encode(rows, whole.schema).pieces] for rows in (whole, scattered, wide)]
    assert sizes[0] == sizes[1] == sizes[2] and len(sizes[0]) > 1
