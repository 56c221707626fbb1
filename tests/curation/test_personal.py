"""Law 7: personal data stay behind, wherever they stand in a document."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
from bidsschematools.schema import load_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.flatten import canonical_json, flatten
from curation.personal import OWN_LABEL, OWN_NAME, Scrubber, hash_id
from curation.personal_keys import is_personal_key, kind_of_key
from schemas import RESOURCES, table


def scrub(text: str) -> str:
    return Scrubber(frozenset(), canonical_json).text(text, "here")


@pytest.mark.parametrize(
    "address",
    [
        *("jane.doe+mri@example.org", "j@b.co", "O'Neil@sub.example-lab.ac.uk", "j\u00f6rg@m\u00fcnchen.de"),
        *(
            "root@10.0.0.1",
            "root@[10.0.0.1]",
            "jane\uff20example.org",
            "{jane}@example.org",
            "a_b@x.y.museum",
        ),
    ],
)
def test_addresses_go_and_the_text_around_stays(address: str) -> None:
    assert scrub(f"call <{address}>, or {address}.") == (
        "call <[e-mail address removed]>, or [e-mail address removed]."
    )


@pytest.mark.parametrize("text", ["EPI@1.5T", "@here", "a@b", "T2@3", "\u0040", "x @ example.org", "@@@"])
def test_other_signs_stay(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize(
    "text", ["a" * 4_000_000 + " @", "@" * 4_000_000, "a@" * 2_000_000, "a@" + "b." * 2_000_000]
)
def test_long_texts_are_read_once(text: str) -> None:
    # One that is read again from every character would not end within the time of any test run.
    assert scrub(text) == text


SECRETS = ("jane@example.org", "sub-plain", "ses-plain", "SERIAL-4711", "Jane Rater", "DOE^JANE")
HASHED = {"subject_id": "sub-plain", "session_id": "ses-plain"}
_PERSONAL: list[Any] = [
    {"bids_meta": {**HASHED, "DeviceSerialNumber": "SERIAL-4711"}, "provenance": {"email": "jane@example.org"}},
    {"bids_meta": {"subject_id": ["sub-plain"], "session_id": {"ses-plain": 1}, "DeviceSerialNumber": ["SERIAL-4711"]}},
    {"bids_meta": [HASHED | {"DeviceSerialNumber": "SERIAL-4711", "email": "jane@example.org"}]},
    {"bids_meta": "jane@example.org", "provenance": ["jane@example.org", {"email": ["jane@example.org"]}]},
    {"bids_meta": {"ScanOptions": [{"PatientName": "DOE^JANE"}, "jane@example.org", HASHED]}},
    {"bids_meta": {"global": {"const": {"PatientName": "DOE^JANE", "Subject ID": "sub-plain"}}}},
    {"bids_meta": {"global.const.PatientName": "DOE^JANE", "x.subject_id": "sub-plain"}},
    {"bids_meta": {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "DOE^JANE"}]}}},
    {"bids_meta": {"ScannerSerialNumber": "SERIAL-4711", "DeviceSerialNumber.0": "SERIAL-4711"}},
    {"bids_meta": {"jane@example.org": 1, "ContactInformation": {"name": "Jane Rater"}}},
    {"bids_meta": {"EchoTime": ["jane@example.org"], "ProtocolName": {"jane@example.org": "jane@example.org"}}},
    {"provenance": {"md5sum": "jane@example.org", "version": "x jane@example.org y", "settings": ["jane@example.org"]}},
    {"cnr": "jane@example.org", "email": "jane@example.org", "deep": [[[{"e-mail": "jane@example.org"}]]]},
]  # fmt: skip


@pytest.mark.parametrize("resource", ["T1w", "bold"])
@pytest.mark.parametrize("document", _PERSONAL)
def test_personal_data_are_in_no_column(resource: Any, document: dict[str, Any]) -> None:
    made = flatten(table(resource), [json.dumps(document).encode()])
    text = canonical_json(made.table.to_pylist()) + str(made.faults) + str(made.withheld)
    assert [secret for secret in SECRETS if secret in text] == []
    assert made.withheld[0]


@pytest.mark.parametrize(
    "document",
    [
        {"name": "Jane Rater"},
        {"name": ["Jane Rater"]},
        {"rating": {"name": "Jane Rater"}, "comment": [{"Name": {"x": "Jane Rater"}}], "rater": "Jane Rater"},
        {"comment": "ask jane@example.org", "md5sum": {"jane@example.org": "jane@example.org"}},
    ],
)
def test_raters_are_not_named(document: dict[str, Any]) -> None:
    made = flatten(table("rating"), [json.dumps(document).encode()])
    text = canonical_json(made.table.to_pylist()) + str(made.withheld)
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.parametrize(
    ("sent", "hashed"),
    [
        ("01", hashlib.sha256(b"01").hexdigest()),
        (1, hashlib.sha256(b"1").hexdigest()),
        (["a", 1.5], hashlib.sha256(b'["a",1.5]').hexdigest()),
        ("f" * 64, "f" * 64),
        (None, None),
    ],
)
def test_ids_are_hashed_whatever_they_are(sent: Any, hashed: str | None) -> None:
    made = flatten(table("T1w"), [json.dumps({"bids_meta": {"subject_id": sent}}).encode()]).table
    assert made.column("bids_meta_subject_id").to_pylist() == [hashed]
    assert made.column("bids_meta_extra").to_pylist() == [None]


def test_a_half_surrogate_is_hashed() -> None:
    assert len(hash_id("\ud800")) == 64


def test_two_addresses_as_keys_stay_two_keys() -> None:
    document = b'{"a@example.org": 1, "b@example.org": 2, "": 3}'
    extra = json.loads(flatten(table("T1w"), [document]).table.column("extra")[0].as_py())
    assert sorted(extra.values()) == [1, 2, 3]
    assert len(extra) == 3


# --- keys ----------------------------------------------------------------------------------------------------

# Of groups 0008 to 0040 of the dictionary (PS3.6): names of persons, UIDs, dates and times of day, and what table E.1-1
# of PS3.15 has of patients.
NAMES = """
    ReferringPhysicianName ConsultingPhysicianName PhysiciansOfRecord PerformingPhysicianName OperatorsName
    OperatorName NameOfPhysiciansReadingStudy PatientName OtherPatientNames PatientBirthName PatientMotherBirthName
    ResponsiblePerson RequestingPhysician ScheduledPerformingPhysicianName NamesOfIntendedRecipientsOfResults
    OrderEnteredBy PersonName HumanPerformerName DocumentAuthorTrial VerifyingObserverName CurrentObserverTrial
    VerbalSourceTrial Patient'sName
"""
NUMBERS = """
    MediaStorageSOPInstanceUID InstanceCreatorUID SOPInstanceUID SOPClassUID FailedSOPInstanceUIDList
    StudyInstanceUIDs ReferencedSOPInstanceUID IrradiationEventUID DeviceUID StudyInstanceUID SeriesInstanceUID
    FrameOfReferenceUID SynchronizationFrameOfReferenceUID SOPInstanceUIDOfConcatenationSource ConcatenationUID
    ObservationUID ObservationSubjectUIDTrial PatientID OtherPatientIDs DeviceSerialNumber ScannerSerialNumber
    AccessionNumber StudyID GantryID StationName PerformedStationName StationAETitle ClinicalTrialSubjectID
    MedicalRecordLocator AdmissionID PerformedProcedureStepID RequestedProcedureID
"""
MOMENTS = """
    InstanceCreationDate StudyDate SeriesDate AcquisitionDate ContentDate OverlayDate CurveDate PatientBirthDate
    LastMenstrualDate DateOfSecondaryCapture DateOfLastCalibration DateOfManufacture ModifiedImageDate StudyReadDate
    ScheduledStudyStartDate StudyArrivalDate StudyCompletionDate ScheduledAdmissionDate AdmittingDate DischargeDate
    ScheduledProcedureStepStartDate ScheduledProcedureStepEndDate PerformedProcedureStepStartDate ScanDate
    PerformedProcedureStepEndDate IssueDateOfImagingServiceRequest FindingsGroupRecordingDateTrial Date
    ObservationDateTrial InstanceCreationTime StudyTime SeriesTime AcquisitionTime ContentTime OverlayTime CurveTime
    PatientBirthTime InterventionDrugStopTime TimeOfSecondaryCapture ContrastBolusStartTime
    RadiopharmaceuticalStopTime TimeOfLastCalibration ModifiedImageTime StudyVerifiedTime ScheduledStudyStartTime
    StudyArrivalTime AdmittingTime DischargeTime ScheduledProcedureStepStartTime PerformedProcedureStepStartTime
    PerformedProcedureStepEndTime ObservationTimeTrial InstanceCoercionDateTime AcquisitionDateTime ContentDateTime
    DateTimeOfLastCalibration CalibrationDateTime FrameAcquisitionDateTime FrameReferenceDateTime
    StartAcquisitionDateTime AcquisitionStartDate AcquisitionStartTime AcquisitionEndTime
    ScheduledProcedureStepStartDateTime PerformedProcedureStepEndDateTime ExpectedCompletionDateTime
    ProcedureStepCancellationDateTime ObservationDateTime DateTime HL7DocumentEffectiveTime ScanStartTime
    date_of_birth Timestamp
"""
OTHERS = """
    PatientAge PatientSex PatientWeight PatientSize PatientAddress PatientTelephoneNumbers PatientComments
    PatientState PatientBirthDateInAlternativeCalendar AdditionalPatientHistory IssuerOfPatientID
    CurrentPatientLocation ReferencedPatientSequence EthnicGroup Occupation SmokingStatus PregnancyStatus MilitaryRank
    BranchOfService MedicalAlerts Allergies CountryOfResidence RegionOfResidence SpecialNeeds PersonAddress
    PersonTelephoneNumbers ReferringPhysicianTelephoneNumbers RequestingService age sex gender subject_age
    ParticipantSex VolunteerWeight dob api_key password access_token phone
"""
KEPT = """
    ProtocolName SequenceName InstitutionName InstitutionAddress InstitutionalDepartmentName name Name TaskName
    TaskDescription SeriesDescription SeriesNumber AcquisitionNumber AcquisitionDuration AcquisitionTimeSec
    RepetitionTime EchoTime EchoTime1 EchoTrainLength InversionTime TriggerTime DelayTime DwellTime RealDwellTime
    MixingTime FrameTime TotalReadoutTime StartTime TimeZero FrameReferenceTime FrameAcquisitionDuration
    AcquisitionTimeSynchronized ScanTime TotalScanTimeSec TotalAcquisitionTime ExposureTime ContentQualification
    StudyDescription StudyComments SoftwareVersions Manufacturer ImageComments ProcedureStepDescription
    PerformedProcedureStepDescription PatientPosition PatientOrientation patient_position ImageOrientationPatient
    ImagePositionPatient ImageOrientationPatientDICOM image_position_patient BodyPartExamined CerebrospinalFluid
    csf_fluids liquid update candidate PartialFourier CoilString Modality GeneratedBy DeidentificationMethod
    ConversionSoftware ReceiveCoilName ScanningSequence ImageType NumberOfTimeSlices Columns message usage Percentage
    age_group_of_template reader_version UserDefinedSetting coil_user global const dcmmeta_version 00181030 00180080
    0008103e 00080080 00201041 deadbeef subject_id session_id SubjectLabel
"""


@pytest.mark.parametrize("key", f"{NAMES} {NUMBERS} {MOMENTS} {OTHERS}".split())
def test_keys_of_persons(key: str) -> None:
    words = re.sub("(?<=[a-z])(?=[A-Z])", "_", key)
    for spelled in (
        key,
        key.lower(),
        words,
        words.replace("_", " "),
        f"global.const.{key}",
        f"{key}.0",
        f"dcm_{key}",
    ):
        # A piece of a key must say it alone.
        assert is_personal_key(spelled) or (spelled.startswith("dcm_") and key in WHOLE.split()), spelled


WHOLE = """
    OrderEnteredBy DocumentAuthorTrial CurrentObserverTrial VerbalSourceTrial StudyID GantryID
    PerformedProcedureStepID RequestedProcedureID Occupation SmokingStatus MilitaryRank BranchOfService Allergies
    CountryOfResidence RegionOfResidence SpecialNeeds age sex gender dob phone
"""


@pytest.mark.parametrize("key", KEPT.split())
def test_keys_of_images(key: str) -> None:
    for spelled in (key, key.upper(), f"global.const.{key}", f"{key}.0"):
        assert not is_personal_key(spelled), spelled


def test_keys_of_bids() -> None:
    terms = load_schema()["objects"]["metadata"]
    assert {key for key in terms if is_personal_key(key)} == {"DeviceSerialNumber", "ScanDate", "StationName"}


def test_declared_keys_are_published() -> None:
    declared = {column.path[-1]: column for resource in RESOURCES for column in table(resource).columns}
    personal = {key for key, column in declared.items() if column.personal and column.personal != "sha256"}
    assert {key for key in declared if is_personal_key(key)} == personal - {"name"}


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        *(("00100010", "person"), ("(0010,0010)", "person"), ("0010|0010", "person"), ("0x00100010", "person")),
        *(("0020000D", "number"), ("0020,000e", "number"), ("00181000", "number"), ("00080032", "rest")),
        *(("00101010", "rest"), ("00380500", "rest"), ("0008002A", "rest"), ("00400244", "rest"), ("00181030", None)),
    ],
)  # fmt: skip
def test_tags(tag: str, kind: str | None) -> None:
    assert kind_of_key(tag) == kind


def test_long_keys_are_judged_and_not_remembered() -> None:
    assert is_personal_key("xyz." * 100_000 + "PatientName")
    assert not is_personal_key("a_" * 100_000)


def test_releases_are_dated_under_their_keys() -> None:
    document = {"GeneratedBy": [{"Version": "20180808", "Name": "20180808"}], "InversionNote": "20180808"}
    scrubbed = Scrubber(frozenset(), canonical_json).tree(document, "extra")
    assert scrubbed["GeneratedBy"] == [{"Version": "20180808", "Name": "[date removed]"}]
    assert scrubbed["InversionNote"] == "[date removed]"
    assert (
        Scrubber(frozenset(), canonical_json).text("x 20180808", "bids_meta_ConversionSoftware")
        == "x 20180808"
    )


# --- what a document tells of itself -------------------------------------------------------------------------


def read_twice(document: Any, withheld: frozenset[str] = frozenset()) -> tuple[str, list[str]]:
    """As a document is read: again, with what it tells of itself, where that stands in what came out."""
    scrubber = Scrubber(withheld, canonical_json)
    scrubber.begin()
    cells = [canonical_json(scrubber.tree(document, "extra"))]
    again = scrubber.repeated([None, 1.5, *cells])
    if again:
        scrubber.begin(again)
        cells = [canonical_json(scrubber.tree(document, "extra"))]
        assert scrubber.repeated(cells) == {}
    return cells[0], scrubber.found


@pytest.mark.parametrize(
    ("told", "text", "clean"),
    [
        ({"PatientName": "DOE^JANE^Q"}, "T1_jane_doe, Doe's head", "T1_[name removed], [name removed]'s head"),
        ({"PatientName": "DOE^JANE"}, "JANEDOE JaneDoe2 undoes", "[name removed] JaneDoe2 undoes"),
        ({"OperatorsName": "Rasmus Ohlendorf"}, "RO: ohlendorf\nOhlendorf", "RO: [name removed]\n[name removed]"),
        ({"OperatorsName": ["Zo\u00eb \u00c5ngstr\u00f6m"]}, "\u00e5NGSTR\u00d6M-x", "[name removed]-x"),
        ({"OperatorsName": "Zoe\u0308 A\u030angstro\u0308m"}, "\u00c5ngstr\u00f6m x", "[name removed] x"),
        ({"OperatorsName": "Zoe\u0308 A\u030angstro\u0308m"}, "angstrom x", "[name removed] x"),
        ({"OperatorsName": "Zo\u00eb \u00c5ngstr\u00f6m"}, "x A\u030angstro\u0308m", "x [name removed]"),
        ({"SOPInstanceUID": ["1.3.12.2.1107.5.2.32.1"], "PatientName": "Doe^J"}, "Doe", "[name removed]"),
        ({"ContactInformation": {"name": "Li Placeholder"}}, "ask li_placeholder", "ask [name removed]"),
        ({"ReferringPhysicianName": "Dr. Amina Example, phone 1"}, "phone Amina", "phone [name removed]"),
        ({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^J"}]}}, "Doe PN", "[name removed] PN"),
        ({"email": "jane.doe@example.org"}, "Jane Doe, jane", "[name removed], jane"),
        ({"DeviceSerialNumber": "AB-12345"}, "x_AB12345, ab_12345", "x_[label removed], [label removed]"),
        ({"DeviceSerialNumber": 123456789012}, "MR123456789012, bay 2", "MR[label removed], bay 2"),
        ({"StudyInstanceUID": "1.2.3.45"}, "see 1.2.3.45 and 0.1.2.3.45", "see [label removed] and 0.1.2.3.45"),
        ({"StationName": "MRC35131"}, "at MRC35131.", "at [label removed]."),
        ({"PatientID": "K123"}, "K123 K1234", "[label removed] K1234"),
        ({"PatientID": "DOE_JANE"}, "doe", "[name removed]"),
        ({"PatientName": "PILOT_0123"}, "pilot_0123 pilot", "[label removed] pilot"),
        ({"subject_id": "sub-KT12"}, "T1w_sub-KT12_run1 kt12", "T1w_[label removed]_run1 [label removed]"),
        ({"subject_id": "control12"}, "control12 control", "[label removed] control"),
        ({"subject_id": 4711}, "TE 4711, 0.4711, 4711.5, 14711", "TE [label removed], 0.4711, 4711.5, 14711"),
        ({"session_id": ["ab12"]}, "AB12", "[label removed]"),
        ({"global.const.OperatorName": "Mirka Tuul"}, "by Tuul", "by [name removed]"),
    ],
)  # fmt: skip
def test_what_a_document_tells_of_itself_is_in_none_of_its_texts(
    told: dict[str, Any], text: str, clean: str
) -> None:
    made, found = read_twice({**told, "comment": text, "deep": [{text: [text]}]})
    made = {key: value for key, value in json.loads(made).items() if key not in told}
    assert made == {"comment": clean, "deep": [{clean: [clean]}]}
    assert {rule.removesuffix(" in extra") for rule in found if rule.startswith("own")} <= {
        OWN_NAME,
        OWN_LABEL,
    }
    assert len([rule for rule in found if rule.startswith("own")]) >= 3


@pytest.mark.parametrize(
    "told",
    [
        *({"OperatorsName": name} for name in ("Siemens Service", "Unknown", "RMO", "MRI Tech", "Anonymous")),
        *({"PatientName": name} for name in ("Head^Brain", "Rest", "Test Phantom", "ROW", "Prisma", "x")),
        {"OperatorsName": "the one who is at the front desk on Mondays"},
        *({"subject_id": label} for label in ("01", "sub-01", "rest1", "2017", "3.0T", "a" * 64, "rest", "run-01")),
        *({"session_id": label} for label in ("timepoint1", "ses-pre1", "retest", "baseline01")),
        *({"DeviceSerialNumber": serial} for serial in ("166", "Siemens", "unknown", "-----")),
        *({"email": address} for address in ("brain.imaging@example.org", "rest@example.org")),
        *({"AcquisitionDate": "one"}, {"PatientAge": "rest1"}, {"StudyID": "1"}),
        *({"PatientName": None}, {"PatientName": {}}),
    ],
)  # fmt: skip
def test_words_that_tell_nothing_stay(told: dict[str, Any]) -> None:
    text = "rest Rest1 run-01 Siemens Prisma T1w 2017 3.0T timepoint1 pre1 brain Head one desk unknown 166 ROW RMO 01 x"
    assert json.loads(read_twice({**told, "comment": text})[0])["comment"] == text


def test_raters_are_not_named_by_themselves() -> None:
    made, _ = read_twice({"name": "R. Aldana", "comment": "Aldana: good"}, frozenset({"name"}))
    assert json.loads(made) == {"comment": "[name removed]: good"}


def test_what_one_document_tells_is_not_known_of_the_next() -> None:
    scrubber = Scrubber(frozenset(), canonical_json)
    scrubber.begin()
    scrubber.learn("PatientName", "DOE^JANE")
    scrubber.begin(scrubber.repeated(["Jane was here"]))
    assert scrubber.text("Jane was here", "x") == "[name removed] was here"
    assert scrubber.found == ["own name in x"]
    scrubber.begin()
    assert scrubber.text("Jane was here", "x") == "Jane was here"
    assert (scrubber.found, scrubber.secrets) == ([], {})


def test_hashes_are_no_places_of_labels() -> None:
    scrubber = Scrubber(frozenset(), canonical_json)
    scrubber.begin({"12345678": OWN_LABEL})
    assert scrubber.text("a12345678" + "f" * 23, "md5sum") == "a12345678" + "f" * 23
    assert scrubber.text("a12345678" + "f" * 22, "x") == "a[label removed]" + "f" * 22


def test_secrets_are_not_shown() -> None:
    scrubber = Scrubber(frozenset(), canonical_json)
    scrubber.learn("PatientName", "DOE^JANE")
    scrubber.begin({"jane": OWN_NAME} | scrubber.secrets)
    scrubber.learn("PatientName", "DOE^JANE")
    assert "jane" not in repr(scrubber).lower()


def test_a_crowd_of_secrets_is_bounded() -> None:
    scrubber = Scrubber(frozenset(), canonical_json)
    scrubber.begin()
    scrubber.learn("PatientName", [f"Doe{'abcdefghij'[n % 10] * (n // 10)}" for n in range(5_000)])
    assert len(scrubber.secrets) == 200


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["Jane", "DOE", "_", " ", "0123", "sub-", ".", "19840302", "KT12", "^", "\u00eb", "1"]
        )
    ).map("".join)
)
def test_own_texts_are_removed_once(text: str) -> None:
    known = {
        "jane": OWN_NAME,
        "doe jane": OWN_NAME,
        "kt12": OWN_LABEL,
        "0123": OWN_LABEL,
        "sub-kt12": OWN_LABEL,
    }
    scrubber = Scrubber(frozenset(), canonical_json)
    scrubber.begin(known)
    clean = scrubber.text(text, "x")
    assert (clean != text) == bool(scrubber.found)
    scrubber.begin(known)
    assert (scrubber.text(clean, "x"), scrubber.found) == (clean, [])


def test_what_json_escapes_is_seen() -> None:
    """Clients escape what is not ASCII: a comment that is JSON has such texts within a text."""
    comment = json.dumps(["head-motion", "J\u00fcrgen M\u00fcller"])
    made = flatten(
        table("rating"), [json.dumps({"name": "J\u00fcrgen M\u00fcller", "comment": comment}).encode()]
    )
    assert "M\\u00fc" not in made.table.column("comment")[0].as_py()
    assert json.loads(made.table.column("comment")[0].as_py())[0] == "head-motion"
    document = {"bids_meta": {"ProtocolName": "mail jane.doe\\u0040example.org"}}
    made = flatten(table("T1w"), [json.dumps(document).encode()])
    assert made.table.column("bids_meta_ProtocolName").to_pylist() == ["mail [e-mail address removed]"]
    kept = json.dumps(["caf\u00e9", 'a "quoted" word', "\ud83e\udde0"])
    made = flatten(table("rating"), [json.dumps({"comment": kept}).encode()])
    assert made.table.column("comment").to_pylist() == [kept]


def test_a_label_that_may_be_a_name_is_not_said_again() -> None:
    document = {"bids_meta": {"subject_id": "JaneDoe", "session_id": "nback3", "task_id": "nback3",
                              "SeriesDescription": "JaneDoe_T1", "ProtocolName": "janedoe"}}  # fmt: skip
    made = flatten(table("T1w"), [json.dumps(document).encode()]).table.to_pylist()[0]
    assert "janedoe" not in str(made).lower()
    assert made["bids_meta_task_id"] == "nback3"
