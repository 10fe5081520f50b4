"""Declarations of the WCO Data Model: what becomes of each kind, and why others are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.formats.reading import HEAD_BYTES, Conventions, ReadDeclaration, Unread
from producers.formats.wco.format import FORMAT
from schemas.catalogue import CATALOGUE
from schemas.drafts import missing, unnumbered
from tests.unit.formats.reading import DUSHANBE, assert_read_or_refused, parts_of, refused, taken, warnings_of
from tests.unit.formats.wco_files import AMENDMENT, CANCELLATION, ITEM, ORIGINAL, PRESENTATION, declaration, metadata


def test_a_declaration_is_read_whole_where_its_source_says_whose_and_where() -> None:
    read = taken(FORMAT, metadata(declaration()), DUSHANBE)

    assert read.type == "customs.export-declaration.v1"
    assert missing(read.type, read.data) == ()
    data = {name: value for name, value in read.data.items() if name not in ("items", "extensions")}
    assert data == {
        "administration": "tj",
        "office_code": "TJ105000",
        "registration_number": "26TJ105000ABCDEFA7",
        "registration_year": 2026,
        "accepted_at": "2026-11-20T10:15:00+05:00",
        "local_reference": "PP-77",
        "declaration_type": "EXA",
        "item_count": 1,
        "invoice_amount": "12000",
        "invoice_currency": "USD",
        "package_count": "1000",
        "vehicle_ids": ["7788AB01"],
        "vehicle_nationality": "TJ",
        "border_transport_mode": "3",
        "declarant_id": "TJ-D-9",
        "exit_office": "TJ105000",
        "exporter_name": "Meva",
        "consignee_name": "Kabul Fruit",
        "containerised": True,
        "container_numbers": ["CSQU3054383"],
        "seal_numbers": ["S-1"],
        "destination_country": "AF",
        "incoterm": "CIF",
    }


def test_an_item_is_told_by_its_qualifiers_and_sums() -> None:
    (item,) = taken(FORMAT, metadata(declaration())).data["items"]

    assert item == {
        "number": 1,
        "statistical_value": "9000",
        "hs_code": "080810",
        "national_code": "8090",
        "description": "Apples, fresh",
        "gross_mass_kg": "20000.5",
        "net_mass_kg": "19000",
        "item_price": "12000",
        "procedure_code": "1000",
        "national_procedure": "1CS",
        "origin_country": "TJ",
        "package_count": "1000",
        "package_kind": "BX",
        "documents": [{"type_code": "N935", "reference": "INV-7"}],
        "previous_documents": [{"type_code": "Z355", "reference": "P-1"}],
    }


def test_what_no_field_says_is_kept_by_its_path_and_counted() -> None:
    read = taken(FORMAT, metadata(declaration()))

    kept = read.data["extensions"]["wco"]
    path = "GoodsShipment/GovernmentAgencyGoodsItem[1]/Commodity/Classification[3]/ID"
    assert kept[path] == "X9"
    (told,) = [warning for warning in read.warnings if warning.code == "values-kept"]
    assert told.problem.text.startswith(f"{len(kept)} texts ")


def test_without_settings_it_is_a_draft_that_lacks_whose_and_where() -> None:
    read = taken(FORMAT, metadata(declaration()))

    assert missing(read.type, read.data) == ("administration", "office_code")


def test_a_number_that_is_no_mrn_is_of_the_year_of_its_acceptance() -> None:
    read = taken(FORMAT, declaration(ORIGINAL.replace("26TJ105000ABCDEFA7", "E-417")), DUSHANBE)

    assert (read.data["registration_year"], read.data["registration_number"]) == (2026, "E-417")


def test_a_declaration_that_was_not_registered_yet_and_has_no_commodity_code_is_a_draft() -> None:
    bare = (
        ORIGINAL[ORIGINAL.index("<FunctionCode>") :]
        .replace("<ID>26TJ105000ABCDEFA7</ID>", "")
        .replace("<Classification><ID>08081080</ID><IdentificationTypeCode>TSP</IdentificationTypeCode></Classification>", "")
    )

    read = taken(FORMAT, declaration(bare), DUSHANBE)

    assert missing(read.type, read.data) == ("registration_year", "registration_number", "items.0.hs_code")


@pytest.mark.parametrize(
    "document",
    [
        declaration(),
        metadata(declaration(), namespace=""),
        "\ufeff" + metadata(declaration()),
        metadata(declaration()).replace("\n", "\r\n"),
        f"<r:submitDeclarationRequest xmlns:r='urn:x'><r:detail>{metadata(declaration())[22:]}</r:detail></r:submitDeclarationRequest>",
        "<!-- by hand -->" + metadata(declaration())[22:],
        "<?xml version='1.0'?>\n<!--" + "a long remark. " * 900 + "-->\n" + metadata(declaration())[22:],
    ],
    ids=["bare", "no namespace", "byte order mark", "CRLF", "wrapped", "comment first", "long comment first"],
)
def test_it_is_recognised_and_read_however_it_is_wrapped(document: str) -> None:
    assert FORMAT.recognises(document.encode()[:HEAD_BYTES])
    assert taken(FORMAT, document, DUSHANBE).data == taken(FORMAT, metadata(declaration()), DUSHANBE).data


def test_several_declarations_in_one_document_are_each_read() -> None:
    second = ORIGINAL.replace("PP-77", "PP-80")

    parts = parts_of(FORMAT, metadata(declaration(), declaration(second)))

    assert [part.data["local_reference"] for part in parts if isinstance(part, ReadDeclaration)] == ["PP-77", "PP-80"]
    assert [part.line for part in parts] == [4, metadata(declaration()).count("\n") + 2]


@pytest.mark.parametrize(("content", "function"), [(AMENDMENT, "amendment"), (CANCELLATION, "cancellation")])
def test_amendments_and_cancellations_have_their_reason_and_pointers(content: str, function: str) -> None:
    read = taken(FORMAT, metadata(declaration(content)), DUSHANBE)

    assert read.data["message_function"] == function
    assert read.data["correction_reason"] == "written twice"
    assert read.data["extensions"]["wco"]["AdditionalInformation/Pointer/DocumentSectionCode"] == "42A"


def test_a_cancellation_is_of_the_newest_version_and_lacks_nothing() -> None:
    read = taken(FORMAT, metadata(declaration(CANCELLATION)), DUSHANBE)

    assert (unnumbered(read.data), missing(read.type, read.data)) == (True, ())


def test_an_amendment_that_only_points_at_what_changes_is_a_draft_and_a_whole_one_is_not() -> None:
    pointing = taken(FORMAT, metadata(declaration(AMENDMENT)), DUSHANBE)
    whole = taken(
        FORMAT, metadata(declaration(ORIGINAL.replace("<FunctionCode>9<", "<FunctionCode>5<"), "urn:wco:datamodel:WCO:DEC:3")), DUSHANBE
    )

    assert "corrects" in missing(pointing.type, pointing.data)
    assert "amendment-partial" in warnings_of(pointing)
    assert (whole.data["message_function"], unnumbered(whole.data)) == ("amendment", True)
    assert missing(whole.type, whole.data) == ("correction_reason",)
    assert "amendment-partial" not in warnings_of(whole)


def test_the_letter_of_its_number_tells_what_an_amendment_is_of() -> None:
    of_import = taken(FORMAT, declaration(AMENDMENT.replace("DEFA7", "DEFR7")))
    of_neither = taken(FORMAT, declaration(AMENDMENT.replace("DEFA7", "DEF07")))

    assert (of_import.type, of_import.type_told) == ("customs.import-declaration.v1", True)
    assert "flow-unknown" in warnings_of(of_neither)
    assert not of_neither.type_told


@pytest.mark.parametrize(
    ("change", "event_type"),
    [
        (("EXA", "IMA"), "customs.import-declaration.v1"),
        (("EXA", "COA"), "customs.export-declaration.v1"),  # its procedure is 1000
        (("EXA", "T1"), "customs.transit-declaration.v1"),
    ],
)
def test_the_type_of_a_declaration_follows_its_type_code_then_its_procedure(change: tuple[str, str], event_type: str) -> None:
    assert taken(FORMAT, declaration(ORIGINAL.replace(*change))).type == event_type


def test_a_presentation_is_an_event_of_its_declaration() -> None:
    read = taken(FORMAT, metadata(declaration(PRESENTATION)), DUSHANBE)

    assert read.type == "customs.crossing-event.v1"
    assert missing(read.type, read.data) == ()
    assert read.data["kind"] == "presented"
    assert (read.data["declaration_year"], read.data["declaration_number"]) == (2026, "26TJ105000ABCDEFA7")
    assert read.data["vehicle"] == {"plates": ["7788AB01"]}


@pytest.mark.parametrize(
    ("old", "new", "code", "path", "line"),
    [
        ("<ExitOffice>", "<Harbour/><ExitOffice>", "element-unknown", "Harbour", 18),
        ("<FunctionCode>9</FunctionCode>", "", "element-missing", "FunctionCode", 4),
        ("<FunctionCode>9</FunctionCode>", "<FunctionCode>7</FunctionCode>", "field-invalid", "FunctionCode", 6),
        ("<TypeCode>EXA</TypeCode>", "<TypeCode>EXPORT</TypeCode>", "field-invalid", "TypeCode", 9),
        ("<TypeCode>EXA</TypeCode>", "<TypeCode/>", "field-invalid", "TypeCode", 9),
        ("<TypeCode>EXA</TypeCode>", "<TypeCode>EXA</TypeCode><TypeCode>EXA</TypeCode>", "element-misplaced", "TypeCode", 9),
        ("<CurrentCode>1CS", "<CurrentCode>1</CurrentCode><CurrentCode>1CS", "element-misplaced", None, None),
        ("20261120101500+05", "2026-11-20", "field-invalid", "AcceptanceDateTime/DateTimeString", 5),
        (' formatCode="304"', "", "attribute-missing", "AcceptanceDateTime/DateTimeString/@formatCode", 5),
        ("<ds:DateTimeString", '<ds:DateTimeString xmlns:ds="urn:x"', "namespace-wrong", "AcceptanceDateTime/DateTimeString", 5),
        ("EXA", "XXA", "type-unknown", "TypeCode", 9),
        ("</Declarant>", "</Declarants>", "xml-malformed", None, 17),
    ],
)
def test_what_its_specification_does_not_allow_is_refused_where_it_stands(
    old: str, new: str, code: str, path: str | None, line: int | None
) -> None:
    content = ORIGINAL.replace(old, new, 1)
    if code == "type-unknown":
        content = content.replace("<ExitOffice><ID>TJ105000</ID></ExitOffice>", "").replace("DEFA7", "DEF07").replace(">10<", ">99<")

    problem = refused(FORMAT, metadata(declaration(content)))

    assert problem.code == code
    assert problem.code in CATALOGUE
    if path:
        assert problem.place.path == path
    if line:
        assert problem.place.line == line


@pytest.mark.parametrize("namespace", ["", "urn:x", "urnwcodatamodelWCODEC-DMS2"])
def test_a_declaration_outside_the_models_namespaces_is_refused_for_that(namespace: str) -> None:
    problem = refused(FORMAT, metadata(declaration(ORIGINAL, namespace)))

    assert (problem.code, problem.place.line) == ("namespace-wrong", 4)


def test_another_edition_of_the_model_is_read_by_its_names_without_the_order_of_this_one() -> None:
    content = ORIGINAL.replace("<FunctionCode>9</FunctionCode>", "").replace(
        "<TypeCode>", "<JourneyID>5</JourneyID><FunctionCode>9</FunctionCode><TypeCode>"
    )

    read = taken(FORMAT, declaration(content, "urn:wco:datamodel:WCO:DEC:3"), DUSHANBE)

    assert missing(read.type, read.data) == ()
    assert read.data["extensions"]["wco"]["JourneyID"] == "5"


@pytest.mark.parametrize(
    "document",
    [
        metadata('<Response xmlns="urn:wco:datamodel:WCO:RES-DMS:2"><FunctionCode>01</FunctionCode></Response>'),
        metadata(declaration(), kind="DMSRES"),
        metadata("<Response/>", kind="RES") + "\n" + metadata("<Response/>"),
        metadata("<Response/>", kind="RES") + "\nContent-Type: application/xml <",
        "<Response xmlns='urn:wco:datamodel:WCO:RES:1'><Declaration><ID>1</ID></Declaration></Response>",
        f"<p:DeclarationStatusResponse xmlns:p='urn:x'>{declaration()}</p:DeclarationStatusResponse>",
    ],
    ids=["response", "of its type", "several roots", "broken behind", "bare", "to a question"],
)
def test_an_answer_is_refused_for_what_it_is(document: str) -> None:
    parts = parts_of(FORMAT, document)

    assert FORMAT.recognises(document.encode())
    assert [part.problems[0].code for part in parts if isinstance(part, Unread)] == ["message-response"]
    assert len(parts) == 1


def test_what_contradicts_is_kept_beside_with_a_warning_and_the_rest_is_taken() -> None:
    content = (
        ORIGINAL.replace(ITEM, ITEM + ITEM)
        .replace("<GoodsItemQuantity>1<", "<GoodsItemQuantity>4<")
        .replace("<NetNetWeightMeasure>19000<", "<NetNetWeightMeasure>30000<")
        .replace("<QuantityQuantity>100</QuantityQuantity><TypeCode>BX<", "<QuantityQuantity>100</QuantityQuantity><TypeCode>PK<")
        .replace("CSQU3054383", "CSQU3054384")
        .replace("<ID>INV-7</ID>", "")
        .replace("<ModeCode>3<", "<ModeCode>7<")
    )

    read = taken(FORMAT, declaration(content), DUSHANBE)

    assert {
        "count-differs",
        "net-above-gross",
        "values-differ",
        "item-number-odd",
        "container-odd",
        "document-incomplete",
        "vehicle-odd",
    } <= warnings_of(read)
    assert [item["number"] for item in read.data["items"]] == [1, 2]
    first, kept = read.data["items"][0], read.data["extensions"]["wco"]
    assert not {"net_mass_kg", "package_kind", "documents"} & first.keys()
    assert not {"item_count", "container_numbers", "vehicle_ids"} & read.data.keys()
    assert kept["GoodsItemQuantity"] == "4"
    assert kept["GoodsShipment/GovernmentAgencyGoodsItem[1]/Packaging[2]/TypeCode"] == "PK"


def test_a_mass_in_another_unit_is_never_taken_for_kilograms() -> None:
    read = taken(FORMAT, declaration(ORIGINAL.replace('unitCode="KGM"', 'unitCode="TNE"')))

    assert "gross_mass_kg" not in read.data["items"][0]
    kept = read.data["extensions"]["wco"]
    assert kept["GoodsShipment/GovernmentAgencyGoodsItem[1]/Commodity/GoodsMeasure/GrossMassMeasure/@unitCode"] == "TNE"


def test_importer_and_consignee_are_not_made_one() -> None:
    two = ORIGINAL.replace("<TradeTerms>", "<Importer><Name>Herat Trade</Name><ID>AF-1</ID></Importer><TradeTerms>")

    data = taken(FORMAT, declaration(two)).data

    assert (data["consignee_id"], data["consignee_name"]) == ("AF-1", "Herat Trade")
    assert "Kabul Fruit" in data["extensions"]["wco"].values()


DOCUMENT = metadata(declaration()).encode()


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, len(DOCUMENT)),
    st.integers(0, 60),
    st.one_of(st.binary(max_size=12), st.sampled_from([b"<ID/>", b"<!--", b"&x;", b"]]>"])),
)
def test_a_changed_document_is_read_or_refused_and_never_raises(at: int, length: int, put: bytes) -> None:
    changed = DOCUMENT[:at] + put + DOCUMENT[at + length :]

    assert_read_or_refused(FORMAT, changed, DUSHANBE)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, DOCUMENT.index(b"</Declaration>")))
def test_half_a_declaration_is_never_taken(cut: int) -> None:
    assert not [part for part in parts_of(FORMAT, DOCUMENT[:cut], Conventions()) if isinstance(part, ReadDeclaration)]
