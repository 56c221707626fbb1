"""Ratings: values, comments, repeats and agreement, against a plain reading of what the dictionary says of them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from decimal import Decimal
from statistics import fmean
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation.ratings import (
    REPEAT_MINUTES,
    WORDS,
    agreement,
    artifact_codes,
    artifact_column,
    compare,
    label,
    rate,
    read_comment,
    read_rating,
)
from schemas import Column, table
from schemas.dictionary import make_column, read_yaml

CODES = artifact_codes()
ARTIFACTS = [artifact_column(code) for code in CODES]
TEXTS = {"string": pa.string(), "large_string": pa.large_string()}
KEYS = ("record_id", "md5sum", "name", "rating", "comment")


def columns() -> list[Column]:
    rows = yaml.safe_load(read_yaml("rated"))["rated"]
    return [make_column(row.pop("name"), (), row, "rating") for row in rows]


def rated(
    ratings: list[str | None], comments: list[str | None], kind: pa.DataType = TEXTS["string"]
) -> pa.Table:
    return rate(pa.table({"rating": pa.array(ratings, kind), "comment": pa.array(comments, kind)}))


def row(comment: str | None, rating: str | None = "3.0") -> dict[str, Any]:
    """One rating, its artifacts as the set of their codes."""
    (found,) = rated([rating], [comment]).to_pylist()
    named = {code for code in CODES if found.pop(artifact_column(code))}
    return found | {"named": named, "flags": (found["flags"] or "").split()}


def keys_of(rows: list[dict[str, Any]], kind: pa.DataType = TEXTS["string"]) -> pa.Table:
    """Keys of ratings, with ids in their order; ``created`` in seconds."""
    full = [{"record_id": f"{n:024x}", "md5sum": "a" * 32, "name": "r"} | one for n, one in enumerate(rows)]
    made = {name: pa.array([one.get(name) for one in full], kind) for name in KEYS}
    seconds = pa.array([one.get("created") for one in full], pa.int64())
    return pa.table(made | {"created": seconds.cast(pa.timestamp("s", tz="UTC"))})


def chunks(*checksums: str | None, kind: pa.DataType = TEXTS["string"]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([one], kind) for one in checksums], kind)


# --- the columns ---------------------------------------------------------------------------------------------


def test_columns_are_those_of_the_dictionary() -> None:
    keys = keys_of([{"rating": "3.0"}])
    made = [*rate(keys).schema, *compare(keys, {}).schema]
    assert made == [column.arrow for column in columns()]


def test_there_is_a_column_for_every_code_of_the_dictionary() -> None:
    (comment,) = (column for column in table("rating").columns if column.name == "comment")
    assert [code for code, _ in comment.levels] == list(CODES)
    assert len(CODES) == 14
    named = [column for column in columns() if column.name.startswith("artifact_")]
    assert [column.name for column in named] == ARTIFACTS
    assert all(column.type == "boolean" and column.required for column in named)
    assert all(column.description.endswith(f", {code}.") for column, code in zip(named, CODES, strict=True))


def test_no_column_has_the_name_of_another_of_the_table() -> None:
    names = [column.name for column in (*table("rating").columns, *columns())]
    assert len(set(names)) == len(names)


def test_labels_and_flags_are_explained() -> None:
    levels = {column.name: [value for value, _ in column.levels] for column in columns()}
    assert levels["rating_label"] == list(WORDS)
    assert levels["flags"] == ["broken_comment", "test_rating", "unknown_code", "unknown_rating"]


@pytest.mark.parametrize("kind", TEXTS.values(), ids=TEXTS)
def test_any_kind_of_text_column_and_no_row_at_all(kind: pa.DataType) -> None:
    some = [
        {"rating": "2", "comment": '["inu"]', "created": 0},
        {"rating": None, "md5sum": None, "name": None},
    ]
    for rows in ([], some):
        keys = keys_of(rows, kind)
        made, compared = (
            rate(keys),
            compare(keys, {"T1w": chunks("A" * 32, None, kind=kind), "T2w": chunks()}),
        )
        plain = keys_of(rows)
        assert made.equals(rate(plain))
        assert compared.equals(compare(plain, {"T1w": chunks("a" * 32)}))
        assert made.schema.names + compared.schema.names == [column.name for column in columns()]
        assert agreement(keys, made, compared) == {"images": 0, "by_raters": [], "largest_difference": []}


# --- one rating ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "word"),
    [
        ("exclude", 1.0, "exclude"),
        (" Poor\n", 2.0, "poor"),
        ("ACCEPTABLE", 3.0, "acceptable"),
        ("excellent", 4.0, "excellent"),
        ("1", 1.0, "exclude"),
        ("1.0", 1.0, "exclude"),
        ("1.45", 1.45, "exclude"),
        ("1.5", 1.5, "poor"),
        ("2.45", 2.45, "poor"),
        ("2.5", 2.5, "acceptable"),
        (" 3.5 ", 3.5, "acceptable"),
        ("3.55", 3.55, "excellent"),
        ("4.000", 4.0, "excellent"),
        ("02.5", 2.5, "acceptable"),
        ("1." + "0" * 100_000, 1.0, "exclude"),
    ],
)
def test_words_and_slider(text: str, value: float, word: str) -> None:
    found = row(None, text)
    assert (found["rating_value"], found["rating_label"], found["flags"]) == (value, word, [])


@pytest.mark.parametrize("text", ["good", "bad", "Good", " BAD "])
def test_words_of_tests_have_no_value(text: str) -> None:
    found = row(None, text)
    assert (found["rating_value"], found["rating_label"], found["flags"]) == (None, None, ["test_rating"])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0",
            "0.95",
            "0.9999999999999999999999",
            "4.0000000000000000000001",
            "4.05",
            "5",
            "10",
            "-2",
            "1e0",
        ),
        *(
            "nan",
            "inf",
            "2,5",
            "2.5.1",
            "2 5",
            "0x2",
            "1_0",
            "\u0662",
            "\uff12",
            "true",
            "ok",
            "poor!",
            "po or",
        ),
        *("", " ", "1" * 100_000, "0" * 100_000, "good bad", "fair"),
    ],
)
def test_other_ratings_have_no_value(text: str) -> None:
    found = row(None, text)
    assert (found["rating_value"], found["rating_label"], found["flags"]) == (None, None, ["unknown_rating"])


@settings(max_examples=300, deadline=None)
@given(st.decimals(0, 5, places=2) | st.decimals(allow_nan=False, allow_infinity=False))
@example(Decimal("1"))
@example(Decimal("4.00"))
def test_a_decimal_number_has_a_value_exactly_from_1_to_4(number: Decimal) -> None:
    assert read_rating(f"{number:f}") == (float(number) if 1 <= number <= 4 else None)


@given(st.floats(1, 4), st.floats(1, 4))
def test_labels_rise_with_values(one: float, other: float) -> None:
    scale = list(WORDS)
    low, high = sorted((one, other))
    assert scale.index(label(low)) <= scale.index(label(high))
    assert all(label(value) == word for word, value in WORDS.items())


_some_text = st.text(max_size=12) | st.sampled_from(
    [
        *CODES,
        *WORDS,
        "good",
        "1.5",
        "[",
        "{",
        '["',
        '"]',
        "['inu']",
        '{"a": ',
        "[[",
        "[1]",
        '["inu", 3]',
        " ",
        ",",
        ";",
    ]
)
_comments = st.none() | st.lists(_some_text, max_size=4).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(_comments, _comments), max_size=5))
def test_whatever_is_sent_every_row_is_of_one_kind(sent: list[tuple[str | None, str | None]]) -> None:
    made = rated([rating for rating, _ in sent], [comment for _, comment in sent])
    # Each row is what it is alone.
    assert made.to_pylist() == [
        one for rating, comment in sent for one in rated([rating], [comment]).to_pylist()
    ]
    for (rating, comment), one in zip(sent, made.to_pylist(), strict=True):
        flags = (one["flags"] or "").split(" ") if one["flags"] else []
        assert flags == sorted(set(flags))
        assert (one["rating_value"] is None) == bool({"test_rating", "unknown_rating"} & set(flags))
        assert (one["rating_label"] is None) == (one["rating_value"] is None)
        assert ("unknown_code" in flags) == (one["other_codes"] is not None)
        named = [one[column] for column in ARTIFACTS]
        assert None not in named
        blank = not (comment or "").strip()
        like_json = (comment or "").lstrip()[:1] in ("[", "{") and not blank
        assert one["comment_text"] in (None, comment)
        if blank or like_json or any(named):
            assert one["comment_text"] is None
        else:
            assert one["comment_text"] == comment
        assert not ({"broken_comment", "unknown_code"} & set(flags)) or like_json
        assert not ({"broken_comment", "unknown_code"} <= set(flags))
        assert (read_rating(rating) is None) == (one["rating_value"] is None)


# --- comments ------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(CODES) | st.text(max_size=8), max_size=6),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
@example(["inu", "inu", "zipper", "zipper"], None, True)
@example(["\ud800"], None, True)
@example(["Inu", " inu", ""], None, False)
def test_every_code_of_an_array_is_named_or_kept(
    sent: list[str], indent: int | None, ascii_only: bool
) -> None:
    comment = json.dumps(sent, indent=indent, ensure_ascii=ascii_only)
    found = row(f" {comment}\n")
    others = [code for code in sent if code not in CODES]
    assert found["named"] == set(sent) & set(CODES)
    assert found["comment_text"] is None
    assert found["flags"] == (["unknown_code"] if others else [])
    if any("@" in code or "\uff20" in code for code in others):
        return  # for another test
    assert (json.loads(found["other_codes"]) if others else found["other_codes"]) == (others or None)


def test_other_codes_are_canonical_json() -> None:
    assert row('[ "zipper",\n"inu" , "\\u00e9" ]')["other_codes"] == '["zipper","é"]'


def test_addresses_behind_escapes_are_not_published() -> None:
    found = row('["jane\\u0040example.org", "inu"]')
    assert found["other_codes"] == '["[e-mail address removed]"]'
    assert found["named"] == {"inu"}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(CODES), min_size=1, max_size=5),
    st.lists(st.sampled_from([",", ";", " ", ", ", " ;\n", "\t", ",,"]), min_size=6, max_size=6),
)
def test_codes_without_brackets_are_codes(codes: list[str], separators: list[str]) -> None:
    comment = "".join(itertools.chain.from_iterable(zip(codes, separators, strict=False)))
    found = row(comment)
    assert (found["named"], found["comment_text"], found["flags"]) == (set(codes), None, [])


@pytest.mark.parametrize("comment", [None, "", " ", "\n\t ", "[]", " [ ] "])
def test_comments_that_say_nothing(comment: str | None) -> None:
    found = row(comment)
    assert (found["named"], found["other_codes"], found["comment_text"], found["flags"]) == (
        set(),
        None,
        None,
        [],
    )


@pytest.mark.parametrize(
    "comment",
    [
        *(
            "motion in the upper slices",
            "ok",
            "wrap, but outside the brain",
            "inu and more",
            "Head-Motion",
            "inu.",
        ),
        *(
            "head motion",
            " inu or not ",
            '"inu"',
            "'inu'",
            "a [b]",
            "null",
            "3",
            ",",
            ";;",
            "cut\x00here",
            "\ufeffx",
        ),
    ],
)
def test_free_text_stays_as_it_is(comment: str) -> None:
    found = row(comment)
    assert (found["named"], found["comment_text"], found["flags"]) == (set(), comment, [])


@pytest.mark.parametrize(
    ("comment", "named"),
    [
        ('["head-motion", "inu"', {"head-motion", "inu"}),
        ('["head-motion", "in', {"head-motion"}),
        ("['head-motion']", {"head-motion"}),
        ("['head-motion', \"inu\", 'zipper']", {"head-motion", "inu"}),
        ('["noise-global",]', {"noise-global"}),
        ('{"artifact": ', set()),
        ('{"artifact": "inu"}', {"inu"}),
        ('["inu", 3]', {"inu"}),
        ('["inu", null]', {"inu"}),
        ('[["inu"], []]', {"inu"}),
        ('["inu"] and more', {"inu"}),
        ("[NaN]", set()),
        ("[1e999]", set()),
        ("[head-motion, inu]", set()),
        ("[\"inu', 'head-motion\"]x", set()),
        ('["Inu", "inu ", "xinu"', set()),
        ("[", set()),
        ("{}", set()),
        ("[sic]", set()),
        ('["noneye-spillover"', {"noneye-spillover"}),
    ],
)
def test_broken_comments(comment: str, named: set[str]) -> None:
    found = row(f"\n{comment} ")
    assert found["named"] == named
    assert found["flags"] == ["broken_comment"]
    assert found["comment_text"] is None
    assert found["other_codes"] is None


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*CODES, "zipper"]), min_size=1, max_size=5), st.data())
def test_codes_of_an_array_that_was_cut_are_named(codes: list[str], data: st.DataObject) -> None:
    whole = json.dumps(codes)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    found = row(cut)
    # Of those that were cut off nothing is left, or half a word.
    left = {code for code in codes if f'"{code}"' in cut} & set(CODES)
    assert (found["named"], found["flags"]) == (left, ["broken_comment"])


HUGE = 2_000_000


@pytest.mark.parametrize(
    "comment",
    [
        *("[" * HUGE, "{" * HUGE, '{"a":' * HUGE, "[" * 900 + "]" * 900, "[" * HUGE + '"inu"' + "]" * HUGE),
        *(
            "[" + "1" * HUGE + "]",
            "[" + "1" * 4300 + "]",
            "[" + "9" * 4000 + ",1" * HUGE + "]",
            "[1" + "0" * HUGE,
        ),
        *("['" * HUGE, '["' + '"' * HUGE, "[" + "'inu" * HUGE, "[" + '\\"' * HUGE, '["' + "\\" * HUGE),
        *("[ " + " " * HUGE + "x", "[" + '"inu",' * HUGE, '["' + "a" * HUGE),
    ],
    ids=lambda comment: f"{comment[:6]}...{comment[-6:]}",
)
def test_hostile_json_is_broken_and_read_once(comment: str) -> None:
    # One that is read again from every character would not end within the time of any test run.
    found = row(comment)
    assert found["flags"] == ["broken_comment"]
    assert found["named"] == ({"inu"} if '"inu"' in comment or "'inu'" in comment else set())


@pytest.mark.parametrize(
    "comment", ["inu," * HUGE, " " * HUGE + "inu" + ";" * HUGE, json.dumps(["inu"] * HUGE)]
)
def test_many_codes_are_read_once(comment: str) -> None:
    assert (row(comment)["named"], row(comment)["flags"]) == ({"inu"}, [])


@pytest.mark.parametrize("comment", ["a" * HUGE, "inu " * HUGE + "x", ", " * HUGE + "x", "inu-" * HUGE])
def test_long_free_texts_are_read_once(comment: str) -> None:
    assert row(comment)["comment_text"] == comment


def test_no_depth_of_calls_changes_what_a_comment_is() -> None:
    def below(levels: int) -> Any:
        return below(levels - 1) if levels else (read_comment("[" * 200 + "]" * 200), read_comment('["inu"]'))

    assert below(850) == below(0)


# --- one image -----------------------------------------------------------------------------------------------


def test_ratings_of_an_image_are_counted_whatever_the_case() -> None:
    rows = [{"md5sum": md5sum} for md5sum in ("ab" * 16, "AB" * 16, "cd" * 16, None, None, "aB" * 16)]
    assert compare(keys_of(rows), {}).column("n_ratings_of_image").to_pylist() == [3, 3, 1, 1, 1, 3]


def test_images_are_found_in_the_tables_that_have_them() -> None:
    a, b, c, d = (letter * 32 for letter in "abcd")
    tables = {
        "bold": chunks(b, a.upper(), kind=TEXTS["large_string"]),
        "rating": chunks(a, b, c, d),
        "T2w": pa.chunked_array([], pa.string()),
        "T1w": chunks(None, c, a, a),
    }
    found = compare(keys_of([{"md5sum": one} for one in (a, b.upper(), c, d, None, a)]), tables)
    assert found.column("image_table").to_pylist() == ["T1w bold", "bold", "T1w", None, None, "T1w bold"]


MINUTE = 60


def repeats(*rows: dict[str, Any]) -> list[int | None]:
    """Places of the ratings that are repeated."""
    same = {"rating": "3.0", "comment": "[]"}
    found = compare(keys_of([same | one for one in rows]), {}).column("repeat_of").to_pylist()
    return [None if one is None else int(one, 16) for one in found]


def test_a_chain_of_repeats_names_its_first() -> None:
    times = (0, 0, 10, 20, 30, 41, 51)
    assert repeats(*({"created": minutes * MINUTE} for minutes in times)) == [None, 0, 0, 0, 0, None, 5]
    assert repeats({"created": 0}, {"created": REPEAT_MINUTES * MINUTE + 1}) == [None, None]


@pytest.mark.parametrize(
    "other",
    [{"name": "s"}, {"md5sum": "b" * 32}, {"rating": "3"}, {"comment": '["inu"]'}],
    ids=lambda one: next(iter(one)),
)
def test_what_differs_is_no_repeat(other: dict[str, Any]) -> None:
    assert repeats({"created": 0}, {"created": 1} | other, {"created": 2}) == [None, None, 0]


@pytest.mark.parametrize("missing", [{"name": None}, {"name": ""}, {"md5sum": None}, {"created": None}])
def test_of_what_is_not_known_nothing_is_said(missing: dict[str, Any]) -> None:
    assert repeats({"created": 0} | missing, {"created": 0} | missing) == [None, None]


def test_a_missing_comment_is_like_an_empty_one_and_case_of_checksums_is_none() -> None:
    assert repeats({"created": 0, "comment": None}, {"created": 0, "comment": "", "md5sum": "A" * 32}) == [
        None,
        0,
    ]


def test_times_that_no_calendar_has_are_compared() -> None:
    far = 253_402_300_800  # of the year 10000
    assert repeats({"created": far}, {"created": far + 1}) == [None, 0]


_rows = st.fixed_dictionaries(
    {
        "created": st.integers(0, 40).map(lambda minutes: minutes * MINUTE),
        "md5sum": st.sampled_from(["a" * 32, "b" * 32, "A" * 32, "c" * 32]),
        "name": st.sampled_from(["r", "s", "t", "u", None]),
        "rating": st.sampled_from(["1", "1.05", "2.5", "3.45", "4", "good", "poor", None]),
        "comment": st.sampled_from([None, "[]"]),
    }
)
_tables = st.lists(_rows, max_size=25).map(lambda rows: sorted(rows, key=lambda one: one["created"]))


@settings(max_examples=150, deadline=None)
@given(_tables)
def test_repeats_are_those_of_the_definition(rows: list[dict[str, Any]]) -> None:
    def same(one: dict[str, Any]) -> tuple[Any, ...]:
        return one["name"], one["md5sum"].lower(), one["rating"], one["comment"]

    def first(place: int) -> int:
        """Follows the chain back, one rating at a time."""
        one = rows[place]
        before = [n for n in range(place) if same(rows[n]) == same(one)] if one["name"] else []
        if not before or one["created"] - rows[before[-1]]["created"] > REPEAT_MINUTES * MINUTE:
            return place
        return first(before[-1])

    found = compare(keys_of(rows), {})
    chains = [first(place) for place in range(len(rows))]
    wanted = [None if head == place else f"{head:024x}" for place, head in enumerate(chains)]
    assert found.column("repeat_of").to_pylist() == wanted
    counts = Counter(one["md5sum"].lower() for one in rows)
    assert found.column("n_ratings_of_image").to_pylist() == [counts[one["md5sum"].lower()] for one in rows]


# --- agreement -----------------------------------------------------------------------------------------------


def agreed(rows: list[dict[str, Any]], tables: dict[str, pa.ChunkedArray] | None = None) -> dict[str, Any]:
    keys = keys_of(rows)
    found = agreement(keys, rate(keys), compare(keys, tables or {}))
    assert json.loads(json.dumps(found)) == found
    return found


def test_agreement_of_a_few_images() -> None:
    said = {
        "a": {"r": "1.0", "s": "1.45"},  # the same label
        "B": {"r": "3.5", "s": "3.55"},  # neighbours
        "c": {"r": "exclude", "s": "acceptable"},  # further apart
        "d": {"r": "excellent"},  # one rater
        "e": {"r": "1", "s": "2", "t": "4"},
        "f": {"r": "good", "s": "2"},  # one of them without a value
    }
    rows = [
        {"md5sum": letter * 32, "name": name, "rating": rating}
        for letter, by_name in said.items()
        for name, rating in by_name.items()
    ]
    assert agreed(rows, {"T1w": chunks("b" * 32), "bold": chunks("e" * 32, "b" * 32)}) == {
        "images": 4,
        "by_raters": [
            {
                **{"raters": 2, "images": 3, "same_label": 1, "neighbouring_labels": 1, "further": 1},
                "mean_difference": 0.833,  # of 0.45, 0.05 and 2
            },
            {
                **{"raters": 3, "images": 1, "same_label": 0, "neighbouring_labels": 0, "further": 1},
                "mean_difference": 2.0,  # of 1, 3 and 2
            },
        ],
        "largest_difference": [
            {"md5sum": letter * 32, "image_table": where, "raters": raters, "lowest": low, "highest": high}
            for letter, where, raters, low, high in (
                ("e", "bold", 3, 1.0, 4.0),
                ("c", None, 2, 1.0, 3.0),
                ("a", None, 2, 1.0, 1.45),
                ("b", "T1w bold", 2, 3.5, 3.55),
            )
        ],
    }


def test_the_last_rating_of_a_rater_counts_if_it_has_a_value() -> None:
    rows = [
        {"name": name, "rating": rating}
        for name, rating in (("r", "1"), ("s", "2"), ("r", "4"), ("s", "bad"), ("", "1"), (None, "3"))
    ]
    (image,) = agreed(rows)["largest_difference"]
    assert (image["raters"], image["lowest"], image["highest"]) == (2, 2.0, 4.0)


def test_five_images_are_named_the_equally_far_ones_by_checksum() -> None:
    # 2.1 - 1.05 and 3.15 - 2.1 are not the same double.
    ranges = {
        "f": ("1.05", "2.1"),
        "e": ("2.1", "3.15"),
        "d": ("1", "2.05"),
        "c": ("1", "1"),
        "b": ("1", "4"),
    }
    ranges |= {"a": ("2.95", "4.0")}
    rows = [
        {"md5sum": k * 32, "name": name, "rating": v}
        for k, vs in ranges.items()
        for name, v in zip("rs", vs, strict=True)
    ]
    found = agreed(rows)
    assert [image["md5sum"][0] for image in found["largest_difference"]] == ["b", "a", "d", "e", "f"]
    assert found["images"] == 6


@settings(max_examples=150, deadline=None)
@given(_tables)
def test_agreement_is_that_of_the_definition(rows: list[dict[str, Any]]) -> None:
    last: dict[str, dict[str, float]] = {}
    for one in rows:
        value = read_rating(one["rating"])
        if one["name"] and value is not None:
            last.setdefault(one["md5sum"].lower(), {})[one["name"]] = value
    judged = [list(values.values()) for values in last.values() if len(values) > 1]
    found = agreed(rows)
    assert found["images"] == len(judged) == sum(one["images"] for one in found["by_raters"])
    assert [one["raters"] for one in found["by_raters"]] == sorted({len(values) for values in judged})
    for one in found["by_raters"]:
        images = [values for values in judged if len(values) == one["raters"]]
        ranks = [[list(WORDS).index(label(value)) for value in values] for values in images]
        steps = [max(found) - min(found) for found in ranks]
        assert one["images"] == len(images)
        assert one["same_label"] == steps.count(0)
        assert one["neighbouring_labels"] == steps.count(1)
        assert one["further"] == len([step for step in steps if step > 1])
        pairs = [fmean(abs(a - b) for a, b in itertools.combinations(values, 2)) for values in images]
        assert one["mean_difference"] == pytest.approx(fmean(pairs), abs=0.00051)
    ranges = [image["highest"] - image["lowest"] for image in found["largest_difference"]]
    assert ranges == pytest.approx(sorted((max(v) - min(v) for v in judged), reverse=True)[:5])


def test_many_raters_of_one_image_cost_no_more_than_they_are() -> None:
    rows = [{"name": f"r{n}", "rating": ("1", "4")[n % 2]} for n in range(20_000)]
    (found,) = agreed(rows)["by_raters"]
    assert (found["raters"], found["mean_difference"]) == (20_000, 1.5)
