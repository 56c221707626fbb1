"""What is personal inside texts goes, by kind; what scanners and tools write stays. All people are invented."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import free_text
from curation.free_text import scrub

CREDENTIALS, EMAIL, UID = "[credentials removed]", "[e-mail address removed]", "[DICOM UID removed]"
NUMBER, NAME, TELEPHONE, DATE = (
    f"[{kind} removed]" for kind in ("number of a person", "name", "telephone number", "date")
)


NUMBERS = [
    "+1 202-555-0143", "(202) 555-0143", "(202)555-0143", "202-555-0171", "202.555.0171", "1-202-555-0171",
    "+49 711 685 12345", "+49 (0)711 685-12345", "+49-711-68512345", "0049 711 685 12345", "001 202 555 0114",
    "+1 (202) 555-0126", "+12025550199", "+1.202.555.0143", "+33 1 99 00 12 34", "+44 20 7946 0123",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_telephone_numbers(number: str) -> None:
    for text in ("{}", "ask {}, please", "x_{}", "({})", "no: {}."):
        assert scrub(text.format(number)) == (text.format(TELEPHONE), ("telephone",))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        *(("tel 5550171", f"tel {TELEPHONE}"), ("Tel.: 0711/685-12345", f"Tel.: {TELEPHONE}")),
        *(("phone: 4711", f"phone: {TELEPHONE}"), ("fax_202_555_0171_x", f"fax_{TELEPHONE}_x")),
        *(
            ("call me at 555 0171 now", f"call me at {TELEPHONE} now"),
            ("mobile2025550171", f"mobile{TELEPHONE}"),
        ),
        ('{"phone": "5550171"}', f'{{"phone": "{TELEPHONE}"}}'),
        ("cell number is 202 555 0171", f"cell number is {TELEPHONE}"),
    ],
)
def test_numbers_that_are_called_so(text: str, clean: str) -> None:
    assert scrub(text) == (clean, ("telephone",))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://jane:s3cret@host.example.org/x", f"https://{CREDENTIALS}@host.example.org/x"),
        ("see https://jane@intranet:80/x, jane", f"see https://{CREDENTIALS}@intranet:80/x, jane"),
        ("ftp://a:b@c@example.org", f"ftp://{CREDENTIALS}@example.org"),
        ("http://h/x?a=1&access_token=ab.c&b=2", f"http://h/x?a=1&access_token={CREDENTIALS}&b=2"),
        ("http://h/?key=1&X-Amz-Signature=f%2f#x", f"http://h/?key={CREDENTIALS}&X-Amz-Signature={CREDENTIALS}#x"),
        ("http://h/#token=1", f"http://h/#token={CREDENTIALS}"),
        ("password: hunter2, ok", f"password: {CREDENTIALS}, ok"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {CREDENTIALS}"),
        ('{"api_key": "abc"}', f'{{"api_key": "{CREDENTIALS}"}}'),
        *((f"http://h/?{key}=x1", f"http://h/?{key}={CREDENTIALS}") for key in ("api_key", "sig", "secret", "pwd")),
    ],
)  # fmt: skip
def test_credentials(text: str, clean: str) -> None:
    assert scrub(text) == (clean, ("credentials",))


@pytest.mark.parametrize(
    "address",
    ["jane.doe+mri@example.org", "jane(at)example.org", "jane [AT] example.org", "jane%40example.org"],
)
def test_addresses(address: str) -> None:
    assert scrub(f"?to={address} x" if "%" in address else f"to {address} x")[1] == ("e-mail",)
    assert "example.org" not in scrub(f"to {address} x")[0]


@pytest.mark.parametrize(
    "uid", ["1.3.12.2.1107.5.2.32.35131.2012", "1.2.840.113619.2.55.3", "2.25.1.1.3295829"]
)
def test_uids(uid: str) -> None:
    expected = (UID, ("DICOM UID",)) if len(uid) >= 20 else (uid, ())
    assert scrub(uid) == expected
    for text in ("MR.{}.dcm", "x_{}_y", "MR{}", "uid: {}."):
        assert scrub(text.format(uid))[0] == text.format(expected[0])


@pytest.mark.parametrize(
    "moment",
    [
        *(
            "2019-03-02T14:33:21",
            "2019-03-02 14:33",
            "20190302143321.123",
            "2019/03/02 14:33:21",
            "20190302T143321Z",
        ),
        *("2018-04-12T09:31:52.610000", "2019-03-02T14:33:21+01:00", "20190302_143321", "02.03.2019, 14:33"),
        *("2019-03-02_14-33-21", "03/02/2019 2:33 PM", "201903021433", "20190302.143321", "2019-03-02-1433"),
        *(
            "1984-03-02",
            "02.03.1984",
            "2.3.1984",
            "03/02/1984",
            "1984/03/02",
            "19840302",
            "31-12-1999",
            "12-31-1999",
        ),
        *(
            "2 March 1984",
            "02-MAR-1984",
            "2nd of March 1984".replace(" of", ""),
            "Mar 2, 1984",
            "March 2nd, 1984",
        ),
        *("1984 Mar 02", "2. M\u00e4rz 1984", "24 Aug 2017 21:58:35", "02Mar1984"),
    ],
)
def test_dates(moment: str) -> None:
    for text in ("{}", "born {}, right-handed", "x_{}_y", "({})", "{}.nii"):
        assert scrub(text.format(moment)) == (text.format(DATE), ("date",))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("head_JANE_DOE_1984-03-02", f"head_{NAME}_{DATE}"),
        ("DOE JANE 19840302", f"{NAME} {DATE}"),
        ("1984-03-02_DOE_JANE_rest", f"{DATE}_{NAME}_rest"),
        ("T1_Jane_Doe_19840302", f"T1_{NAME}_{DATE}"),
        ("HEAD_JANE_DOE_MPRAGE_02.03.1984", f"HEAD_{NAME}_MPRAGE_{DATE}"),
    ],
)
def test_names_go_with_the_date_they_stand_at(text: str, clean: str) -> None:
    assert scrub(text) == (clean, ("date", "name")) or scrub(text) == (clean, ("name", "date"))


@pytest.mark.parametrize(
    "text", ["T1_MPRAGE_SAG_{}", "BOLD REST {}", "ABCD_STUDY_{}", "T1w {} x", "JANE {}", "{}_EPI_BOLD"]
)
def test_other_words_at_a_date_stay(text: str) -> None:
    assert scrub(text.format("20190302")) == (text.format(DATE), ("date",))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        *(("DOE^JANE^Q", NAME), ("Doe Smith^Jane Mary", NAME), ("Ohm^Petra^^Dr.", NAME), ("O'Neil^J", NAME)),
        *(("Smith-Doe^J\u00e9r\u00f4me", NAME), ("scan of von Berg^Jan, T1", f"scan of {NAME}, T1")),
        *(("T1_DOE^JANE_rest", f"T1_{NAME}_rest"), ("Head DOE^JANE MPRAGE", f"Head {NAME} MPRAGE")),
        *(("Dr. Amina Example, T1", f"Dr. {NAME}, T1"), ("Prof. Dr. med. A. Beispiel", f"Prof. Dr. med. {NAME}")),
        *(("Mr Smith moved", f"Mr {NAME} moved"), ("for Mrs. van der Berg", f"for Mrs. {NAME}")),
        *(("Dr_Smith_T1", f"Dr_{NAME}_T1"), ("by Dr. J.R. Smith.", f"by Dr. {NAME}."), ("DR. SMITH", f"DR. {NAME}")),
        *(("patient: Jane Doe", f"patient: {NAME}"), ("operator: Rasmus", f"operator: {NAME}")),
        *(("name: jane doe", f"name: {NAME}"), ("subject name: Li", f"subject name: {NAME}")),
        *(("PatientName=Jane", f"PatientName={NAME}"), ("Operator's name: Doe, Jane", f"Operator's name: {NAME}")),
        ("scanned by Jane Doe today", f"scanned by {NAME} today"),
        *(('{"PatientName": "Doe"}', f'{{"PatientName": "{NAME}"}}'), ("last name: Doe", f"last name: {NAME}")),
    ],
)  # fmt: skip
def test_names(text: str, clean: str) -> None:
    assert scrub(text) == (clean, ("name",))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        *(("MRN 1234567", f"MRN {NUMBER}"), ("MRN1234567", f"MRN{NUMBER}"), ("mrn: 12-34/5, x", f"mrn: {NUMBER}, x")),
        *(("patient id: X", f"patient id: {NUMBER}"), ("PatientID=AB12", f"PatientID={NUMBER}")),
        *(("Patient no. 12 moved", f"Patient no. {NUMBER} moved"), ("subject: S012", f"subject: {NUMBER}")),
        *(("123-45-6789", NUMBER), ("SSN 123 45 6789", f"SSN {NUMBER}"), ("x_123-45-6789_y", f"x_{NUMBER}_y")),
        *(("medical record number 77", f"medical record number {NUMBER}"), ("accession #A1", "accession #A1")),
        ('{"PatientID": "X12"}', f'{{"PatientID": "{NUMBER}"}}'),
    ],
)  # fmt: skip
def test_numbers_of_persons(text: str, clean: str) -> None:
    assert scrub(text) == (clean, ("number of a person",) if text != clean else ())


HARMLESS = [
    "24_LX_MR_Software_release:DV24.0_R02_1607.b", "v1.0.20171215 (OpenJPEG build) GCC4.8.4", "5.3.1_5.3.1.1",
    "v1.0.20180622 (JP2:OpenJPEG) (JP-LS:CharLS) GCC5.5.0", "1.0.20171215", "syngo_MR_E11", "syngo MR 2004A 4VA25A",
    "27\\LX\\MR Software release:DV26.0_R02_1810.b", "R10.0_M4", "NUMARIS/4", "0.16.1", "21.0.0rc2", "0.9.7-rc5",
    "http://www.cognitiveatlas.org/task/id/trm_4c8a834779883", "https://mriqc.nimh.nih.gov/api/v1",
    "tsk_4a57abb949e1a", "https://doi.org/10.1038/s41597-019-0035-4", "10.1101/2020.03.02.123456",
    "https://example.org/?x=1&y=2", "trm_4c8a834779883", "bids::sub-01/anat", "ds000001", "07102-1814",
    "Univeristy Ave. 197,Newark,North East,US,07102-1814", "ABCD-T2_GE_original_(baseline_year_1_arm_1)",
    "WIPT1w_1mm_4m40_S1SENSE4.2", "%SiemensSeq%\\tse_vfl", "*tfl3d1_ns", "FAST_GEMS_SAT_GEMS_EDR_GEMS_ACC_GEMS_FS",
    "ORIGINAL\\PRIMARY\\M\\ND", "['ORIGINAL', 'PRIMARY', 'OTHER']", "Head^Brain", "RESEARCH^Brain Traumas",
    "Investigators^FGH3", "USER^default", "x^2", "mm^s", "s^mm2", "2^10", "e^x", "TI 300-600-1200", "TE/TR 30/2000",
    "TE/TI/TR 30/900/2000", "b = 1000 s/mm2", "256*256*176", "0.1234567890123456", "EPI@1.5T", "A>>P",
    "TR: 2000 ms. Mr imaging", "30 ms. The", "3T MR. Siemens", "task name: rest", "Sequence name: tfl3d",
    "patient: moved", "The patient moved", "Patient position HFS", "subject 3 of 40", "patient number", "name=",
    "MRN", "call", "call 2 times", "recall 1000 ms", "cell 5 of 10", "phone", "by hand", "(Smith et al., 2002)",
    "in March 2012", "May 2000", "Kable & Glimcher, 2007; Kirby, Petry, & Bickel, 1999", "t(76)=0.95, p = .3",
    "CAMH", "0000-0002-1825-0097", "+1+1", "-2+3", "=1+1", "+3e-4", "+1.2345678", "+0.99 -0.01 +0.12",
    "1.5 2.25 3.125", "1.2.840.10008.1.2", "-1e5", "19841302", "119840302", "198403021", "19840302.5", "3.19840302",
    "A19840302", "20190231", "18840302", "2019.03.02", "9500 Gilman Dr. La Jolla",
    "", " ", "\x00", "\ud800", "\u00e9", "a" * 64,
    "4608ffbd6b78ce3a325eb338fa556589", "20190302143321201903021433212019",
    "6b86b273ff34fce19d6b804eff5a3f5747ada4ea", "127.0.0.1:8000", "10.0.0.1", "v2019-03-02", "1e400",
    "[[1, 2], [3, 4]]", "HEA;HEP", "C:HEA", "p2 s2 MB4", "3.0T",
]  # fmt: skip


@pytest.mark.parametrize("text", [text for text in HARMLESS if "Dr. Example" not in text])
def test_what_is_not_personal_stays(text: str) -> None:
    assert scrub(text) == (text, ())
    assert scrub(text, release=True) == (text, ())


def test_releases_have_dates() -> None:
    assert scrub("dicm2nii.m 20180808", release=True) == ("dicm2nii.m 20180808", ())
    assert scrub("dicm2nii.m 20180808") == (f"dicm2nii.m {DATE}", ("date",))
    assert scrub("2019-03-02", release=True) == ("2019-03-02", ())
    assert scrub("built 2019-03-02 by jane@example.org", release=True)[1] == ("e-mail",)


FRAGMENTS = [
    "DOE", "^", "JANE", "Jane", "Doe", "_", " ", "-", ".", ",", ":", "=", "@", "example.org", "https://", "user",
    "pass", "?key=", "&token=", "1.3.12.2.1107.5.2.32", "1984", "-03-02", "02.03.", "19840302", "T14:33:21",
    "143321", "+1 ", "202", "555", "0143", "(202)", "tel", "call", "name", "patient", "id", "MRN", "123-45-6789",
    "Dr.", "Mr", "Prof", "von", "rest", "head", "\n", "v1.0.", "20171215", "^^", "2 Mar ", "Mar 2, ", "password",
    "(at)", "%40", '"', "'", "\u00e9", "\x00", "\ud800", "0049", "711", "[", "]", "removed", "number", "date", "A",
    "B.", "x", "/", "subject", "by ",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=2), max_size=14).map("".join)
# What makes every rule look, and is touched by none.
EVERYTHING = "\n\n\n\n\n\n|@|^|=|:|%40|(at)|1-1-1-1|dr |ed by |mrn|jan"


@settings(max_examples=800, deadline=None)
@given(TEXTS, st.booleans())
def test_scrubbing_twice_changes_nothing_more(text: str, release: bool) -> None:
    clean, rules = scrub(text, release)
    assert scrub(clean, release) == (clean, ())
    assert (clean != text) == bool(rules)
    assert len(set(rules)) == len(rules)


@settings(max_examples=800, deadline=None)
@given(TEXTS)
def test_no_text_is_passed_over_unread(text: str) -> None:
    assert scrub(EVERYTHING) == (EVERYTHING, ())
    clean, rules = scrub(text)
    if free_text.OBSTINATE not in rules:
        assert scrub(text + EVERYTHING)[0] == clean + EVERYTHING


def test_a_text_without_end_goes_wholly() -> None:
    text = "2019-03-02T14:33" * 9
    assert scrub(text) == ("[obstinate text removed]", ("date", "obstinate text"))
    assert scrub("[obstinate text removed]") == ("[obstinate text removed]", ())


def test_placeholders_are_no_names() -> None:
    ours = [
        CREDENTIALS,
        EMAIL,
        UID,
        NUMBER,
        NAME,
        TELEPHONE,
        DATE,
        "[obstinate text removed]",
        "[label removed]",
    ]
    assert set(re.findall("[a-z]{3,}", " ".join(ours).lower())) <= free_text.NOT_NAMES


UNITS = [
    "a", "A ", "Aa ", "A'", "a-", "a.", "1", "1 ", "+1 ", "1-", "1.", "@", "://", "://a", "https://a:b@c/ ", "?a_",
    "?key=", "patient ", "MRN-", "mrn:", "name: a ", "Dr. A. ", "Dr. A'", "DOE^", "^", "A^A ", "JANE_DOE_",
    "19840302_", "(at)a.", "a%40", "call 1 ", "tel 1", "202-555-", "2 Mar ", "\n", "\u00e9", "1.2.840.",
    "password: ", "JANE_DOE_1984-03-02_", "=", "de ",
]  # fmt: skip


def test_long_texts_are_read_once() -> None:
    # One that is read again from every character would not end within the time of any test run.
    size = 4_000_000 // len(UNITS)
    clean, rules = scrub("|".join(unit * (size // len(unit)) for unit in UNITS) + " @ 1984-03-02 DOE^JANE")
    assert {"name", "date"} <= set(rules)
    assert "1984-03-02" not in clean


def test_texts_are_remembered_within_bounds() -> None:
    for remembered in (*free_text._SHORT.values(), *free_text._LONG.values()):
        assert remembered.cache_info().maxsize  # type: ignore[attr-defined]
    kept = sum(f.cache_info().currsize for f in free_text._LONG.values())  # type: ignore[attr-defined]
    scrub("x" * 20_001)
    assert sum(f.cache_info().currsize for f in free_text._LONG.values()) == kept  # type: ignore[attr-defined]
