"""The vocabularies of scanners: every spelling has one meaning, and what real records say is known."""

from __future__ import annotations

import copy
import gzip
import json
import math
import string
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flows.demo.corpus.sites import BOLD_SITES, T2W_SITES
from flows.demo.corpus.tables import scan_parameters
from schemas.vocabularies import (
    LONGEST,
    NOMINAL_FIELDS,
    TOLERANCE,
    Manufacturer,
    NominalField,
    Scanner,
    manufacturer,
    manufacturers,
    nominal_field,
    nominal_fields,
    normal_form,
    read_manufacturers,
    read_nominal_fields,
    read_scanners,
    scanner,
    scanners,
)

RECEIVED_MANUFACTURERS = {
    "Siemens": [
        "Siemens",
        "SIEMENS",
        "Siemens Healthineers",
        "Siemens HealthCare GmbH",
        "Simiens",
        "Siemans",
        "Simens",
    ],
    "GE": [
        "GE",
        "GE_MEDICAL_SYSTEMS",
        "GE MEDICAL SYSTEMS",
        "General Electric",
        "General Electrics",
        "G.E.",
        "GEHC",
    ],
    "Philips": ["Philips", "PHILIPS", "Philips Medical Systems", "Phillips", "Philips Ingenia 3.0T"],
    "Canon": ["TOSHIBA", "TOSHIBA_MEC", "CANON_MEC", "Canon Medical Systems"],
    "United Imaging": ["UIH", "Shanghai United Imaging Healthcare Co., Ltd."],
    "Fujifilm": ["Hitachi Medical Corporation", "FUJIFILM Healthcare Corporation"],
}
"""As records and DICOM files have them."""

RECEIVED_MODELS = {
    "Trio": [
        "TrioTim",
        "TRIOTIM",
        "Magnetom Trio",
        "Magnetom TrioTim",
        "Trio",
        "TIM TRIO",
        "Tim Trio",
        "TriTim",
        "MAGNETOM Trio A Tim",
        "Trio Magnetom",
        "SIEMENS TrioTim",
        "Siemens Trio 3T",
        "Trio TIM",
    ],
    "Skyra": ["Skyra", "MAGNETOM Skyra", "Magnetom Skyra Fit", "Skyra_fit"],
    "Prisma": ["Prisma", "Prisma_fit", "MAGNETOM Prisma Fit", "MAGNETOM Prisma-fit"],
    "Verio": ["Verio", "Magnetom Verio"],
    "Allegra": ["Allegra", "Magnetom Allegra"],
    "Avanto": ["Avanto", "AVANTO"],
    "Espree": ["Espree"],
    "Sonata": ["Sonata", "SonataVision"],
    "Symphony": ["Symphony", "SymphonyTim"],
    "Spectra": ["Spectra"],
    "Biograph mMR": ["Biograph_mMR"],
    "MAGNETOM 7T": ["Investigational_Device_7T", "MAGNETOM 7T"],
    "Free.Max": ["Free.Max", "MAGNETOM Free.Max"],
    "DISCOVERY MR750": ["DISCOVERY_MR750", "DISCOVERY MR750", "Discovery MR750", "MR750", "MR750 3T"],
    "DISCOVERY MR750w": ["DISCOVERY_MR750w", "DISCOVERY MR750w"],
    "SIGNA Creator": ["SIGNA_Creator"],
    "SIGNA HDe": ["Signa HDe"],
    "SIGNA HDx": ["SIGNA_HDx"],
    "SIGNA HDxt": ["Signa HDxt", "Signa_HDxt"],
    "SIGNA EXCITE": ["SIGNA_EXCITE", "Signa Twin Speed Excite HD scanne"],
    "SIGNA Premier": ["SIGNA_Premier", "Signa Premier"],
    "SIGNA PET/MR": ["SIGNA_PET_MR", "SIGNA PET/MR"],
    "SIGNA": ["Signa", "Signa 3T"],
    "GENESIS_SIGNA": ["GENESIS_SIGNA"],
    "Achieva": ["Achieva", "Intera Achieva", "Intera_Achieva", "Philips Achieva", "Achieva TX", "Achieva 3T"],
    "Achieva dStream": ["Achieva_dStream", "Achieva dStream", "Achieva Ds"],
    "Ingenia": ["Ingenia", "Ingenia 3.0T"],
    "Ingenia Elition": ["Ingenia Elition X"],
    "Intera": ["Intera", "Intera 3T", "Gyroscan_Intera"],
    "Ingenuity TF PET/MR": ["Ingenuity", "GEMINI"],
    "uMR 790": ["uMR 790", "UIH uMR790"],
    "Vantage Galan 3T": ["Galan 3T", "Vantage Galan 3T"],
    "Vantage Titan 3T": ["Titan3T", "Vantage Titan 3T"],
    "Vantage Titan": ["Titan", "Toshiba Vantage Titan 1.5T"],
    "Swoop": ["Swoop"],
}
"""As the service and the tables of 2017 and 2019 have them, and a few that DICOM files have."""

spellings = st.sampled_from([(name, one) for one in scanners() for name in (one.name, *one.spellings)])
makers = st.sampled_from([(name, one) for one in manufacturers() for name in (one.name, *one.spellings)])
noise = st.text(alphabet=" _-./,()\t®™", max_size=3)


@st.composite
def written(draw: st.DrawFn, text: str) -> str:
    """The text in another case, with other blanks and punctuation."""
    kept = [one for one in text if one.isalnum()]
    return "".join(draw(noise) + draw(st.sampled_from([one.lower(), one.upper()])) for one in kept) + draw(
        noise
    )


@given(st.text())
def test_normal_form_is_letters_and_digits_and_its_own(text: str) -> None:
    form = normal_form(text)
    assert set(form) <= set(string.ascii_lowercase + string.digits)
    assert normal_form(form) == form


@given(st.data(), st.text(alphabet=string.printable))
def test_normal_form_ignores_case_and_punctuation(data: st.DataObject, text: str) -> None:
    assert normal_form(data.draw(written(text))) == normal_form(text)


@pytest.mark.parametrize("one", manufacturers(), ids=lambda one: one.name)
def test_spellings_of_manufacturers_resolve(one: Manufacturer) -> None:
    for name in (one.name, *one.spellings):
        assert manufacturer(name) == one.name
    for prefix in one.prefixes:
        assert manufacturer(f"{prefix} and whatever, Ltd. (3)") == one.name
    assert one.description.endswith(".")


@pytest.mark.parametrize("one", scanners(), ids=lambda one: one.name)
def test_spellings_of_models_resolve(one: Scanner) -> None:
    for name in (one.name, *one.spellings):
        assert scanner(name) == one
        assert scanner(f"{one.manufacturer} {name}") == one
    for tesla in one.fields:
        assert nominal_field(tesla) == tesla
    assert one.operating is None or nominal_field(one.operating) in one.fields
    assert one.source


def test_there_are_many() -> None:
    assert len(scanners()) >= 80
    assert {one.manufacturer for one in scanners()} <= {one.name for one in manufacturers()}


@pytest.mark.parametrize("name", RECEIVED_MANUFACTURERS)
def test_received_manufacturers(name: str) -> None:
    assert {text: manufacturer(text) for text in RECEIVED_MANUFACTURERS[name]} == dict.fromkeys(
        RECEIVED_MANUFACTURERS[name], name
    )


@pytest.mark.parametrize("name", RECEIVED_MODELS)
def test_received_models(name: str) -> None:
    found = {text: known.name if (known := scanner(text)) else None for text in RECEIVED_MODELS[name]}
    assert found == dict.fromkeys(RECEIVED_MODELS[name], name)


@given(st.data(), makers)
def test_manufacturers_resolve_however_written(data: st.DataObject, pair: tuple[str, Manufacturer]) -> None:
    name, one = pair
    assert manufacturer(data.draw(written(name))) == one.name


@given(st.data(), spellings)
def test_models_resolve_however_written(data: st.DataObject, pair: tuple[str, Scanner]) -> None:
    name, one = pair
    assert scanner(data.draw(written(name))) == one


@given(st.data(), spellings)
def test_manufacturer_line_and_field_may_stand_beside_the_name(
    data: st.DataObject, pair: tuple[str, Scanner]
) -> None:
    name, one = pair
    maker = next(maker for maker in manufacturers() if maker.name == one.manufacturer)
    before = data.draw(st.sampled_from(["", maker.name, *maker.spellings, *maker.lines]))
    tesla = data.draw(st.sampled_from(one.fields))
    number = data.draw(st.sampled_from([f"{tesla:g}", str(tesla)]))
    label = number + data.draw(st.sampled_from(["T", " T", " Tesla", "_tesla"]))
    orders = [(before, name), (before, name, label), (label, before, name), (before, label, name)]
    assert scanner(" ".join(data.draw(st.sampled_from(orders)))) == one


@given(spellings, st.sampled_from(NOMINAL_FIELDS))
def test_a_field_that_a_model_never_had_makes_it_unknown(pair: tuple[str, Scanner], tesla: float) -> None:
    name, one = pair
    found = scanner(f"{name} {tesla:g}T")
    assert found != one or tesla in one.fields


def test_another_manufacturer_makes_a_model_unknown() -> None:
    assert scanner("Philips Skyra") is None
    assert scanner("GE MAGNETOM Skyra") is None


@pytest.mark.parametrize(
    "text",
    ["", " ", "MAGNETOM", "Siemens", "3T", "NUMARIS_4", "DicomCleaner", "N/A", "联影", "MAGNETOM and Jerry"],
)
def test_what_is_no_model_is_unknown(text: str) -> None:
    assert scanner(text) is None


@given(st.text())
def test_any_text_is_known_or_not(text: str) -> None:
    assert manufacturer(text) in {None, *(one.name for one in manufacturers())}
    assert scanner(text) in {None, *scanners()}


def test_long_texts_are_not_taken_apart() -> None:
    assert scanner("MAGNETOM" * 100_000 + "Trio") is None
    assert scanner("MAGNETOM " * (LONGEST // 8 - 1) + "Trio") == scanner("Trio")


def test_models_of_abide_are_known() -> None:
    """The table says what the images' protocols are; all of its sites scan at 3 T."""
    rows = [row for row in scan_parameters().values() if "Model" in row]
    assert len(rows) >= 20
    for row in rows:
        found = scanner(row["Model"])
        assert found is not None, row["Model"]
        assert 3.0 in found.fields
        assert found.manufacturer == manufacturer(row["Vendor"])


def test_models_of_the_demo_are_known() -> None:
    for site in (*BOLD_SITES, *T2W_SITES):
        for model in site.models:
            found = scanner(model)
            assert found is not None, model
            assert found.manufacturer == manufacturer(site.vendor)
            assert nominal_field(site.tesla) in found.fields


def test_real_records_are_known(shared: Path) -> None:
    """Fields that the service cut to integers (1.5 T to 1) are left out; nothing else is."""
    unknown: set[tuple[str, Any]] = set()
    for path in sorted([*shared.glob("webapi/*.jsonl.gz"), *shared.glob("mriqc/*.jsonl.gz")]):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            documents = [json.loads(line) for line in lines]
        for document in documents:
            meta = document.get("record", document).get("bids_meta", {})
            maker, model = (
                meta.get("Manufacturer"),
                meta.get("ManufacturersModelName", meta.get("ManufacturerModelName")),
            )
            if maker and manufacturer(maker) is None:
                unknown.add(("manufacturer", maker))
            found = scanner(model) if model else None
            if model and found is None:
                unknown.add(("model", model))
            if found is None:
                continue
            if maker and found.manufacturer != manufacturer(maker):
                unknown.add((maker, model))
            field, frequency = meta.get("MagneticFieldStrength"), meta.get("ImagingFrequency")
            cut = field in {math.floor(tesla) for tesla in found.fields}
            if field is not None and nominal_field(field) not in found.fields and not cut:
                unknown.add((model, field))
            if frequency is not None and nominal_field(frequency / 42.577) not in found.fields:
                unknown.add((model, frequency))
    assert unknown == set()


@pytest.mark.parametrize(
    ("tesla", "nominal"),
    [
        (3, 3.0),
        (3.0, 3.0),
        (2.89, 3.0),
        (2.8936, 3.0),
        (2.89362, 3.0),
        (2.9, 3.0),
        (123.2 / 42.577, 3.0),
        (127.8 / 42.577, 3.0),
        (1.5, 1.5),
        (1.494, 1.5),
        (1.0, 1.0),
        (6.98, 7.0),
        (297.2 / 42.577, 7.0),
        (0.55, 0.55),
        (0.5, 0.5),
        (0.064, 0.064),
        (2, None),
        (0, None),
        (-3.0, None),
        (2.5, None),
        (3.5, None),
        (15000.0, None),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
    ],
)
def test_nominal_field(tesla: float, nominal: float | None) -> None:
    assert nominal_field(tesla) == nominal


@given(st.sampled_from(NOMINAL_FIELDS), st.floats(-0.999, 0.999))
def test_fields_within_the_tolerance_are_nominal(tesla: float, share: float) -> None:
    assert nominal_field(tesla * (1 + share * TOLERANCE)) == tesla


@given(st.floats())
def test_nominal_field_is_near_what_was_measured(tesla: float) -> None:
    found = nominal_field(tesla)
    if found is not None:
        known = next(one for one in nominal_fields() if one.tesla == found)
        assert any(abs(tesla - value) <= TOLERANCE * value for value in (known.tesla, *known.operating))
        assert nominal_field(found) == found


def test_nominal_fields_are_in_order_and_have_sources() -> None:
    assert tuple(sorted(set(NOMINAL_FIELDS))) == NOMINAL_FIELDS
    assert {1.5, 3.0, 7.0} <= set(NOMINAL_FIELDS)
    assert all(one.source for one in nominal_fields())


def test_siemens_magnets_of_3_tesla_are_run_at_less() -> None:
    whole_body = [one for one in scanners() if (one.manufacturer, one.fields) == ("Siemens", (3.0,))]
    assert {one.name for one in whole_body if one.operating != 2.89} == {"Allegra"}
    assert all(one.operating is None or one.operating not in one.fields for one in scanners())


def test_no_model_is_called_what_stands_before_models() -> None:
    before = {normal_form(name) for one in manufacturers() for name in (one.name, *one.spellings, *one.lines)}
    assert not before & {normal_form(name) for one in scanners() for name in (one.name, *one.spellings)}


FIELDS = (NominalField(1.5, ("x",)), NominalField(3.0, ("x",), (2.89,)))
MAKERS = (Manufacturer("Maker", "x"),)
MODEL = {"name": "Model", "manufacturer": "Maker", "fields": [3.0], "source": ["x"]}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([MODEL, {**MODEL, "name": "MO_DEL"}], "listed also by Model"),
        ([MODEL, {**MODEL, "name": "Other", "spellings": ["model."]}], "listed also by Model"),
        ([{**MODEL, "spellings": ["MODEL"]}], "listed twice"),
        ([{**MODEL, "spellings": ["?!"]}], "no letters or digits"),
        ([{**MODEL, "manufacturer": "maker"}], "not a manufacturer's canonical name"),
        ([{**MODEL, "fields": [2.89]}], "not nominal fields"),
        ([{**MODEL, "fields": []}], "none, repeated or not in order"),
        ([{**MODEL, "fields": [3.0, 1.5]}], "none, repeated or not in order"),
        ([{**MODEL, "fields": [1.5], "operating": 2.89}], "operating field"),
    ],
)
def test_models_that_contradict_are_refused(rows: list[dict[str, Any]], why: str) -> None:
    assert read_scanners({"scanners": [{**MODEL, "operating": 2.89}]}, MAKERS, FIELDS)[0].operating == 2.89
    with pytest.raises(ValueError, match=why):
        read_scanners({"scanners": copy.deepcopy(rows)}, MAKERS, FIELDS)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"name": "A", "description": "x"}, {"name": "a.", "description": "x"}], "listed also by A"),
        ([{"name": "A", "description": "x", "spellings": ["B", "b"]}], "listed twice"),
        ([{"name": "A", "description": "x", "prefixes": ["A "]}], "not in normal form"),
        ([{"name": "A", "description": "x", "prefixes": [""]}], "not in normal form"),
        (
            [{"name": "A", "description": "x", "prefixes": ["ab"]}, {"name": "ABC", "description": "x"}],
            "takes in 'ABC'",
        ),
    ],
)
def test_manufacturers_that_contradict_are_refused(rows: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_manufacturers({"manufacturers": rows})


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"tesla": 3.0, "source": ["x"]}, {"tesla": 3.1, "source": ["x"]}], "could be either"),
        ([{"tesla": 3.0, "source": ["x"]}, {"tesla": 3.0, "source": ["x"]}], "could be either"),
        (
            [{"tesla": 3.0, "source": ["x"]}, {"tesla": 2.5, "source": ["x"], "operating": [2.95]}],
            "could be either",
        ),
        ([{"tesla": 0.0, "source": ["x"]}], "not above 0"),
    ],
)
def test_fields_that_contradict_are_refused(rows: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_nominal_fields({"nominal_fields": rows})


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(TypeError):
        read_scanners({"scanners": [{**MODEL, "tesla": 3.0}]}, MAKERS, FIELDS)
    with pytest.raises(TypeError):
        read_manufacturers({"manufacturers": [{"name": "A"}]})


@pytest.mark.parametrize("name", ["manufacturers", "scanners"])
def test_files_explain_their_keys(name: str) -> None:
    text = (files("schemas") / "terms" / f"{name}.yaml").read_text(encoding="utf-8")
    head = text[: text.index("\n" + ("manufacturers" if name == "manufacturers" else "nominal_fields") + ":")]
    content = yaml.safe_load(text)
    used = {key for rows in content.values() for row in rows for key in row}
    assert all(line.startswith("#") for line in head.splitlines())
    assert {key for key in used if f"{key}:" not in head and f"{key} " not in head} == set()
