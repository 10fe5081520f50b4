"""Messages of the EU's transit system: what becomes of each kind, and why others are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.formats.ncts.format import FORMAT
from producers.formats.reading import Conventions, ReadDeclaration
from schemas.drafts import missing
from tests.unit.formats.ncts_files import (
    AMENDED,
    ARRIVED,
    BODY,
    CANCELLED,
    LET_GO,
    MRN,
    PRESENTED,
    RELEASED,
    UNLOADED,
    house,
    message,
)
from tests.unit.formats.reading import DUSHANBE, assert_read_or_refused, parts_of, refused, taken, warnings_of


def _without_extensions(read: ReadDeclaration) -> dict[str, Any]:
    return {name: value for name, value in read.data.items() if name != "extensions"}


def test_a_release_is_the_registered_declaration_whole_without_any_settings() -> None:
    read = taken(FORMAT, message("CC029C", RELEASED))

    assert read.type == "customs.transit-declaration.v1"
    assert missing(read.type, read.data) == ()
    assert _without_extensions(read) == {
        "administration": "tj",
        "office_code": "TJ105000",
        "registration_number": MRN,
        "registration_year": 2026,
        "registered_on": "2026-11-20",
        "local_reference": "PP-77",
        "declaration_type": "T1",
        "departure_office": "TJ105000",
        "destination_office": "AF000010",
        "transit_offices": ["AF000020"],
        "principal_id": "TJ-P-1",
        "guarantee": {"type_code": "1", "reference": "26TJ0000010000070", "amount": "5000.5", "currency": "USD"},
        "export_country": "TJ",
        "destination_country": "AF",
        "containerised": True,
        "border_transport_mode": "3",
        "gross_mass_kg": "1000.5",
        "exporter_name": "Meva",
        "consignee_name": "Kabul Fruit",
        "container_numbers": ["CSQU3054383"],
        "seal_numbers": ["S-1"],
        "vehicle_ids": ["7788AB01"],
        "vehicle_nationality": "TJ",
        "items": [
            {
                "number": 1,
                "description": "Apples, fresh",
                "hs_code": "080810",
                "national_code": "80",
                "gross_mass_kg": "1000.5",
                "net_mass_kg": "900",
                "package_count": "42",
                "package_kind": "BX",
                "documents": [{"type_code": "N380", "reference": "INV-7"}],
            }
        ],
    }


def test_a_declaration_that_was_lodged_is_a_draft_for_it_has_no_number_yet() -> None:
    read = taken(FORMAT, message("CC015C", BODY), DUSHANBE)

    assert missing(read.type, read.data) == ("registration_year", "registration_number")
    assert read.data["time_limit_on"] == "2026-12-01"
    assert read.data["extensions"]["ncts"]["messageSender"] == "TJ.POST"


def test_amendments_and_invalidations_are_of_the_newest_version_of_the_number_that_they_name() -> None:
    amended, cancelled = taken(FORMAT, message("CC013C", AMENDED)), taken(FORMAT, message("CC014C", CANCELLED))

    assert (amended.data["message_function"], cancelled.data["message_function"]) == ("amendment", "cancellation")
    assert (amended.data["version"], cancelled.data["version"]) == ("next", "next")
    assert missing(amended.type, amended.data) == ("correction_reason",)
    assert missing(cancelled.type, cancelled.data) == ()
    assert cancelled.data["correction_reason"] == "written twice"
    assert {amended.data["registration_number"], cancelled.data["registration_number"]} == {MRN}


def test_an_arrival_is_an_event_of_the_declaration_at_the_office_of_destination() -> None:
    read = taken(FORMAT, message("CC007C", ARRIVED), DUSHANBE)

    assert missing(read.type, read.data) == ()
    assert _without_extensions(read) == {
        "administration": "af",
        "office_code": "AF000010",
        "event_number": "M-9104",
        "kind": "arrived",
        "occurred_at": "2026-11-22T03:11:04+05:00",
        "declaration_administration": "tj",
        "declaration_year": 2026,
        "declaration_number": MRN,
        "vehicle": {},
    }


def test_a_time_without_an_offset_is_kept_and_not_believed_where_no_settings_name_its_zone() -> None:
    read = taken(FORMAT, message("CC007C", ARRIVED))

    assert missing(read.type, read.data) == ("occurred_at",)
    assert "time-zone-unknown" in warnings_of(read)
    assert read.data["extensions"]["ncts"]["TransitOperation/arrivalNotificationDateAndTime"] == "2026-11-22T03:11:04"


def test_unloading_tells_what_was_found() -> None:
    read = taken(FORMAT, message("CC044C", UNLOADED), DUSHANBE)

    assert missing(read.type, read.data) == ()
    assert (read.data["kind"], read.data["occurred_at"]) == ("examined", "2026-11-21T08:15:00+05:00")
    assert (read.data["control_result"], read.data["reason"]) == ("not-conform", "two boxes are missing")
    assert read.data["vehicle"] == {"seal_numbers": ["S-2"], "plates": ["7788AB01"], "nationality": "TJ"}
    assert read.data["extensions"]["ncts"]["UnloadingRemark/stateOfSeals"] == "0"


def test_unloading_of_another_day_than_its_message_has_no_time() -> None:
    read = taken(FORMAT, message("CC044C", UNLOADED.replace("2026-11-21", "2026-11-19")), DUSHANBE)

    assert missing(read.type, read.data) == ("occurred_at",)
    assert "values-differ" in warnings_of(read)


def test_a_release_at_destination_is_an_event_and_one_that_releases_nothing_is_not() -> None:
    released = taken(FORMAT, message("CC025C", LET_GO), DUSHANBE)
    nothing = taken(FORMAT, message("CC025C", LET_GO.replace("Indicator>1", "Indicator>4")), DUSHANBE)

    assert released.data["kind"] == "released"
    assert missing(released.type, released.data) == ()
    assert missing(nothing.type, nothing.data) == ("kind",)


def test_a_presentation_names_its_declaration_by_the_local_reference_only_and_is_a_draft() -> None:
    read = taken(FORMAT, message("CC170C", PRESENTED), DUSHANBE)

    assert read.data["kind"] == "presented"
    assert missing(read.type, read.data) == ("declaration_administration", "declaration_year", "declaration_number")


def test_house_consignments_that_differ_say_nothing_for_all_and_are_kept() -> None:
    two = BODY.replace(house(), house(2, "Herat Fruit") + house(1))

    read = taken(FORMAT, message("CC015C", two))

    assert [item["number"] for item in read.data["items"]] == [1, 2]
    assert "consignee_name" not in read.data
    assert read.data["destination_country"] == "AF"
    kept = read.data["extensions"]["ncts"]
    assert {kept[f"Consignment/HouseConsignment[{number}]/Consignee/name"] for number in (1, 2)} == {"Herat Fruit", "Kabul Fruit"}


def test_one_guarantee_is_exchanged_and_others_are_kept() -> None:
    second = "<Guarantee><sequenceNumber>2</sequenceNumber><guaranteeType>P</guaranteeType></Guarantee>\n  <Consignment>"

    read = taken(FORMAT, message("CC015C", BODY.replace("<Consignment>", second, 1)))

    assert read.data["guarantee"]["type_code"] == "1"
    assert read.data["extensions"]["ncts"]["Guarantee[2]/guaranteeType"] == "P"


def test_odd_values_that_the_specification_allows_are_taken_with_warnings() -> None:
    odd = (
        BODY.replace("<grossMass>1000.5<", "<grossMass>4380979244.527545<", 1)
        .replace("<guaranteeType>1<", "<guaranteeType>P<")
        .replace("<countryOfDispatch>TJ<", "<countryOfDispatch>ZZ<")
        .replace("<typeOfPackages>BX<", "<typeOfPackages>09<")
        .replace("080810", "pears!")
    )

    read = taken(FORMAT, message("CC015C", odd))

    assert read.data["gross_mass_kg"] == "4380979244.527545"
    assert read.data["guarantee"]["type_code"] == "P"
    assert "export_country" not in read.data
    assert {"code-local", "field-invalid"} <= warnings_of(read)
    assert read.data["extensions"]["ncts"]["Consignment/countryOfDispatch"] == "ZZ"


@pytest.mark.parametrize(
    ("old", "new", "code", "path", "line"),
    [
        ("<messageSender>TJ.POST</messageSender>", "", "element-missing", "messageSender", 1),
        ("<messageSender>TJ.POST</messageSender>", "<messageSender></messageSender>", "field-invalid", "messageSender", 2),
        ("<security>0</security>", "<security>0</security><vessel/>", "element-unknown", "TransitOperation/vessel", 11),
        ("<security>0</security>", "<security>none</security>", "field-invalid", "TransitOperation/security", 11),
        ("<limitDate>2026-12-01<", "<limitDate>2026-02-30<", "field-invalid", "TransitOperation/limitDate", 14),
        ("<referenceNumber>TJ105000<", "<referenceNumber>Dushanbe<", "field-invalid", "CustomsOfficeOfDeparture/referenceNumber", 16),
        ("<declarationType>T1</declarationType>", "", "element-missing", "TransitOperation/declarationType", 7),
        ("<grossMass>1000.5<", "<grossMass>0<", "field-invalid", "Consignment/grossMass", 33),
        ("<countryOfDispatch>TJ<", "<countryOfDispatch>tj<", "field-invalid", "Consignment/countryOfDispatch", 30),
    ],
)
def test_what_the_specification_does_not_allow_is_refused_where_it_stands(old: str, new: str, code: str, path: str, line: int) -> None:
    problem = refused(FORMAT, message("CC015C", BODY).replace(old, new, 1))

    assert (problem.code, problem.place.path, problem.place.line) == (code, path, line)


def test_an_element_in_the_wrong_order_is_misplaced() -> None:
    swapped = BODY.replace("<security>0</security>", "").replace("<limitDate>", "<security>0</security><limitDate>")

    assert refused(FORMAT, message("CC015C", swapped)).code == "element-misplaced"


@pytest.mark.parametrize(
    ("name", "code"),
    [("CC004C", "message-response"), ("CC056C", "message-response"), ("CC141C", "message-unsupported"), ("CC015B", "message-unsupported")],
)
def test_other_messages_are_refused_for_what_they_are(name: str, code: str) -> None:
    document = message(name, "")

    assert FORMAT.recognises(document.encode())
    problem = refused(FORMAT, document)
    assert problem.code == code
    assert name in problem.problem.text


@pytest.mark.parametrize(
    "document",
    [
        message("CC015C", BODY, namespace="http://ncts.dgtaxud.ec/CC015B"),
        message("CC015C", BODY).replace("xmlns:n", "xmlns").replace("n:CC015C", "CC015C"),
        message("CC015C", BODY).replace(' xmlns:n="http://ncts.dgtaxud.ec"', "").replace("n:CC015C", "CC015C"),
    ],
    ids=["another", "its elements too", "none"],
)
def test_a_message_outside_its_namespace_is_refused_for_that(document: str) -> None:
    assert refused(FORMAT, document).code == "namespace-wrong"


def test_messages_within_another_document_are_each_read() -> None:
    document = (
        f"<?xml version='1.0'?><t:submission xmlns:t='urn:x'>{message('CC029C', RELEASED)}{message('CC007C', ARRIVED)}</t:submission>"
    )

    assert FORMAT.recognises(document.encode()[:4096])
    parts = parts_of(FORMAT, document, DUSHANBE)
    assert [part.type for part in parts if isinstance(part, ReadDeclaration)] == [
        "customs.transit-declaration.v1",
        "customs.crossing-event.v1",
    ]


def test_the_table_names_every_field_that_is_read() -> None:
    fields = {line.field for line in FORMAT.describe()}

    assert {"registration_number", "items[].hs_code", "occurred_at", "vehicle.plates[]", "correction_reason"} <= fields


DOCUMENT = message("CC029C", RELEASED).encode()


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, len(DOCUMENT)),
    st.integers(0, 60),
    st.one_of(st.binary(max_size=12), st.sampled_from([b"<MRN/>", b"<!--", b"&x;", b"]]>"])),
)
def test_a_changed_message_is_read_or_refused_and_never_raises(at: int, length: int, put: bytes) -> None:
    changed = DOCUMENT[:at] + put + DOCUMENT[at + length :]

    assert_read_or_refused(FORMAT, changed, DUSHANBE)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(DOCUMENT) - 2))
def test_half_a_message_is_never_taken(cut: int) -> None:
    assert not [part for part in parts_of(FORMAT, DOCUMENT[:cut], Conventions()) if isinstance(part, ReadDeclaration)]
