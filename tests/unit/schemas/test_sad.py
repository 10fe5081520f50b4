from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from schemas.content import validate
from schemas.declarations import Declaration, ExportDeclaration
from schemas.sad import TABLE, DateOrder, Kind, Prefill, Spelling, prefilled_import, write, write_draft
from schemas.sad.elements import ELEMENTS, LEAVES, Element
from schemas.sad.rules import AMOUNT_TWICE, COMMODITY, DAY, DECLARATION_TYPE, PREVIOUS, REGISTRATION, VEHICLES, code, read_decimal

US = Spelling()


def _example(name: str) -> Declaration:
    read = json.loads(files("schemas.examples").joinpath(f"{name}.json").read_text("utf-8"))
    declaration = validate(read["type"], read["declaration"])
    assert isinstance(declaration, Declaration)
    return declaration


def _at(sad: bytes, path: str) -> list[str | None]:
    return [element.text for element in etree.fromstring(sad).findall(path)]


def _leaf(element: Any) -> str | None:
    return None if element is None or len(element) or not (element.text or "").strip() else element.text


def _read_back(sad: bytes, kind: Kind) -> dict[str, Any]:
    """Read a SAD by the table alone, without the care for strange files that the format takes."""
    root = etree.fromstring(sad)
    data = _fields(root, "", kind)
    data["items"] = []
    for number, item in enumerate(root.findall("Item"), start=1):
        documents = [_fields(each, "Item[]/Attached_documents[]", kind) for each in item.findall("Attached_documents")]
        data["items"].append({"number": number, **_fields(item, "Item[]", kind), **({"documents": documents} if documents else {})})
    for container in root.findall("Container"):
        identity, place = container.findtext("Container_identity"), container.findtext("Item_Number")
        data.setdefault("container_numbers", [])
        if identity not in data["container_numbers"]:
            data["container_numbers"].append(identity)
        if place:
            data["items"][int(place) - 1].setdefault("container_numbers", []).append(identity)
    return data


def _fields(element: Any, group: str, kind: Kind) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for row in TABLE:
        if row.group == group and kind in row.kinds and not row.fields[0].startswith("extensions."):
            texts = tuple(_leaf(element.find(path[len(group) :].lstrip("/"))) for path in row.paths)
            data |= {
                name: value for name, value in zip(row.names, row.rule.read(texts, US), strict=True) if value is not None and name != "kind"
            }
    return data


def test_every_path_of_the_table_is_an_element_that_is_written() -> None:
    assert {path for row in TABLE for path in row.paths} <= LEAVES


def test_every_field_of_the_table_is_one_of_the_data_model() -> None:
    data: set[str] = set()
    for name in ("ExportDeclaration", "ImportDeclaration", "TransitDeclaration"):
        data |= set(getattr(__import__("schemas"), name).model_fields)
    fields = {field for row in TABLE for field in row.fields if not field.startswith(("extensions.", "items[].")) and field != "kind"}
    assert fields <= data


def test_elements_stand_in_asycudas_order_with_its_misspellings() -> None:
    sad = write(_example("export-declaration"))
    root = etree.fromstring(sad)
    assert [each.tag for each in root if each.tag != "Item"] == [each.name for each in ELEMENTS if not each.repeats]
    assert [each.tag for each in root][-3:] == ["Item", "Item", "Item"]
    assert _at(sad, "Item/Tarification/Supplementary_unit/Suppplementary_unit_code") == ["\n" + " " * 10] * 3  # before <null/>
    assert sad.startswith(b"<?xml version='1.0' encoding='UTF-8' standalone='no'?>")


def test_blank_texts_are_null_and_blank_numbers_are_empty() -> None:
    root = etree.fromstring(write(_example("export-declaration")))

    def check(elements: tuple[Element, ...], parent: Any) -> None:
        for element in elements:
            for found in parent.findall(element.name):
                if element.parts:
                    check(element.parts, found)
                elif not (found.text or "").strip():
                    assert [each.tag for each in found] == ([] if element.numeric else ["null"]), element.path

    check(ELEMENTS, root)


@pytest.mark.parametrize(
    ("name", "kind", "unsaid"),
    [
        ("export-declaration", Kind.EXPORT, set()),
        ("import-declaration", Kind.IMPORT, set()),
        ("transit-declaration", Kind.TRANSIT, {"departure_office", "transit_offices"}),
        ("export-electricity", Kind.EXPORT, set()),
    ],
)
def test_what_a_sad_can_say_comes_back_from_it(name: str, kind: Kind, unsaid: set[str]) -> None:
    said = _example(name).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    for field in (*unsaid, "administration", "accepted_at", "extensions"):
        said.pop(field, None)
    for name_of_list in {"documents", "previous_documents"} & said.keys():  # of the whole declaration: a SAD has them with its first item
        said["items"][0].setdefault(name_of_list, []).extend(said.pop(name_of_list))
    for document in (document for item in said["items"] for document in item.get("previous_documents", ())):
        document.pop("issued_on", None)
    for item in said["items"]:
        for document in item.get("documents", ()):
            document.pop("issuer", None)
    for guarantee in filter(None, [said.get("guarantee")]):
        guarantee.pop("currency")
    assert _read_back(write(_example(name)), kind) == {"item_count": len(said["items"]), **said}


def test_the_partners_export_becomes_an_import_without_registration() -> None:
    export = _example("export-declaration")
    assert isinstance(export, ExportDeclaration)
    sad = write_draft(Kind.IMPORT, prefilled_import(export, Prefill("SHE01", national_procedure="000")))
    told = _read_back(sad, Kind.IMPORT)
    assert told["office_code"] == told["entry_office"] == "SHE01"
    assert told["declaration_type"] == "IM4"
    assert _at(sad, "Property/Sad_flow") == ["I"]
    assert "registration_number" not in told
    assert "declarant_id" not in told
    assert told["exporter_name"] == "ҶДММ Вахш Агро"
    assert told["invoice_amount"] == "18370.00"
    first = told["items"][0]
    assert first["previous_documents"] == [{"type_code": "Previous_document_reference", "reference": "TJ/PNJ01/2026/000417"}]
    assert (first["hs_code"], first.get("national_code"), first["gross_mass_kg"]) == ("310210", None, "10100.250")
    assert first["documents"][0] == {"type_code": "N380", "reference": "INV 118/26", "issued_on": "2026-10-10"}
    assert (first["procedure_code"], first["national_procedure"], first.get("statistical_value")) == ("4000", "000", None)


def test_a_cancellation_gives_no_import() -> None:
    cancellation = _example("export-cancellation")
    assert isinstance(cancellation, ExportDeclaration)
    with pytest.raises(ValueError, match="no goods"):
        prefilled_import(cancellation, Prefill("SHE01"))


def test_extensions_that_the_table_names_are_written_and_others_are_not() -> None:
    data = _example("export-declaration").model_dump(mode="json", exclude_none=True)
    data["extensions"] = {"delivery_place": "SHER KHAN", "other": "x", "comments": 7, "items": {"2": {"marks": "№ 1-40"}}}
    sad = write_draft(Kind.EXPORT, data)
    assert _at(sad, "Transport/Delivery_terms/Place") == ["SHER KHAN"]
    assert [each.strip() if each else each for each in _at(sad, "Item/Packages/Marks1_of_packages")] == ["", "№ 1-40", ""]
    assert (_at(sad, "General_information/Comments_free_text")[0] or "").strip() == ""


def test_local_codes_are_written_as_the_system_spells_them() -> None:
    own = Spelling(DateOrder.DMY, {"incoterms": {"C&F": "CFR"}, "transport-modes": {"31": "3"}})
    sad = write(_example("export-declaration"), own)
    assert _at(sad, "Transport/Means_of_transport/Border_information/Mode") == ["31"]
    assert _at(sad, "Identification/Registration/Date") == ["12/10/2026"]
    assert code("incoterms").read(("C&F",), own) == ("CFR",)


@given(st.dates(date(1990, 1, 1), date(2199, 12, 31)), st.sampled_from(DateOrder))
def test_a_day_comes_back_in_every_order(day: date, order: DateOrder) -> None:
    spelling = Spelling(order)
    (text,) = DAY.write((day.isoformat(),), spelling)
    assert DAY.read((text,), spelling) == (day.isoformat(),)


@pytest.mark.parametrize(
    ("text", "meant"), [("3/31/15", "2015-03-31"), ("16/09/2013", "2013-09-16"), ("2013-09-16", "2013-09-16"), ("4/4/15", "2015-04-04")]
)
def test_a_date_that_can_mean_one_day_only_needs_no_order(text: str, meant: str) -> None:
    assert DAY.read((text,), Spelling(None)) == (meant,)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("4/1/15", None),
        ("31/3/15", DateOrder.MDY),
        ("1404/01/05", None),
        ("5/1/1404", DateOrder.DMY),
        ("soon", None),
        ("2/30/15", DateOrder.MDY),
    ],
)
def test_a_date_is_refused_rather_than_guessed(text: str, order: DateOrder | None) -> None:
    with pytest.raises(ValueError, match="date"):
        DAY.read((text,), Spelling(order))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1.0623724E7", "10623724"),
        ("199.0000", "199.0000"),
        ("646.530000", "646.5300"),
        ("0", "0"),
        ("0.00", "0.00"),
        ("1E3", "1000"),
        ("-0.0", "0.0"),
    ],
)
def test_numbers_are_read_in_every_spelling(text: str, read: str) -> None:
    assert read_decimal(text, 4) == read


@pytest.mark.parametrize("text", ["-1", "NaN", "Infinity", "12,5", "0x1", ""])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        read_decimal(text, 4)


@given(st.decimals(0, 10**13, places=4))
def test_a_decimal_comes_back(number: Decimal) -> None:
    assert AMOUNT_TWICE.read(AMOUNT_TWICE.write((format(number, "f"),), US), US) == (format(number, "f"),)


_WORD = st.from_regex(r"[A-Z0-9]{1,8}", fullmatch=True)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True), st.dates(date(1990, 1, 1), date(2099, 1, 1)), st.booleans())
def test_a_registration_comes_back(number: str, day: date, dated: bool) -> None:
    values = (number, day.year, day.isoformat() if dated else None)
    assert REGISTRATION.read(REGISTRATION.write(values, US), US) == values


@given(st.from_regex(r"[0-9]{6}", fullmatch=True), st.none() | _WORD)
def test_a_commodity_code_comes_back(hs_code: str, national: str | None) -> None:
    assert COMMODITY.read(COMMODITY.write((hs_code, national), US), US) == (hs_code, national)


@given(st.lists(_WORD, min_size=1))
def test_a_list_comes_back(parts: list[str]) -> None:
    assert VEHICLES.read(VEHICLES.write((parts,), US), US) == (parts,)


@given(st.from_regex(r"[A-Z]{1,3}[0-9]?", fullmatch=True))
def test_a_type_comes_back(text: str) -> None:
    assert DECLARATION_TYPE.read(DECLARATION_TYPE.write((text,), US), US) == (text,)


@given(st.lists(st.fixed_dictionaries({"type_code": _WORD, "reference": st.from_regex(r"[A-Z0-9/:]{1,20}", fullmatch=True)}), min_size=1))
def test_previous_documents_come_back(documents: list[dict[str, str]]) -> None:
    assert PREVIOUS.read(PREVIOUS.write((documents,), US), US) == (documents,)
