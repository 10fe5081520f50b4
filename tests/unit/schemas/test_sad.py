from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from lxml import etree

from schemas.content import validate
from schemas.declarations import Declaration, ExportDeclaration
from schemas.sad import TABLE, Kind, Prefill, Spelling, container_blocks, prefilled_import, write, write_draft
from schemas.sad.elements import ELEMENTS, LEAVES, Element
from schemas.sad.rules import DAY
from schemas.values import DateOrder


def _example(name: str) -> Declaration:
    read = json.loads(files("schemas.examples").joinpath(f"{name}.json").read_text("utf-8"))
    declaration = validate(read["type"], read["declaration"])
    assert isinstance(declaration, Declaration)
    return declaration


def _at(sad: bytes, path: str) -> list[str | None]:
    return [element.text for element in etree.fromstring(sad).findall(path)]


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


def test_the_partners_export_becomes_an_import_without_registration() -> None:
    export = _example("export-declaration")
    assert isinstance(export, ExportDeclaration)
    sad = write_draft(Kind.IMPORT, prefilled_import(export, Prefill("SHE01", national_procedure="000")))
    blank = "\n" + " " * 6  # before <null/>
    assert _at(sad, "Identification/Office_segment/Customs_clearance_office_code") == _at(sad, "Transport/Border_office/Code") == ["SHE01"]
    assert _at(sad, "Identification/Type/*")[:2] == ["IM", "4"]
    assert _at(sad, "Property/Sad_flow") == ["I"]
    assert _at(sad, "Identification/Registration/*") == [blank + "  ", None, None]
    assert _at(sad, "Declarant/Declarant_code") == [blank]
    assert _at(sad, "Traders/Exporter/Exporter_name") == ["ҶДММ Вахш Агро"]
    assert _at(sad, "Valuation/Gs_Invoice/Amount_foreign_currency") == ["18370.00"]
    assert set(_at(sad, "Item/Previous_doc/Previous_document_reference")) == {"TJ/PNJ01/2026/000417"}
    assert _at(sad, "Item/Tarification/HScode/Commodity_code")[0] == "310210"
    assert _at(sad, "Item/Valuation_item/Weight_itm/Gross_weight_itm")[0] == "10100.250"
    assert _at(sad, "Item/Tarification/Extended_customs_procedure")[0] == "4000"
    assert _at(sad, "Item/Valuation_item/Statistical_value")[0] is None


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
    own = Spelling("dmy", {"incoterms": {"C&F": "CFR"}, "transport-modes": {"31": "3"}})
    sad = write(_example("export-declaration"), own)
    assert _at(sad, "Transport/Means_of_transport/Border_information/Mode") == ["31"]
    assert _at(sad, "Identification/Registration/Date") == ["12/10/2026"]


def test_what_was_kept_of_a_sad_is_written_back_where_it_stood() -> None:
    data = _example("export-declaration").model_dump(mode="json", exclude_none=True)
    kept = {
        "@id": "7",
        "Global_taxes/Global_tax_item[2]": "5",
        "Transport/Border_office/Name": "Panji Poyon",
        "Item[2]/Taxation/Taxation_line[3]/Duty_tax_code": "VAT",
        "Item[2]/Tarification/Supplementary_unit[2]/Suppplementary_unit_code": "LTR",
        "Item[5]/Free_text_1": "left over",
        "Supplier_documents[1]/Invoice_supplier_city": "Bokhtar",
        "Invoice/Unheard_of": "1",
        "Item[2]/Taxation/Taxation_line[9999]/Duty_tax_code": "far",
        "not a path": "1",
        "Traders/Exporter/Exporter_name": "no field goes behind it",
    }
    sad = write_draft(Kind.EXPORT, {**data, "extensions": {"asycuda": {**kept, "Transport/Border_office/Code": 7}}})
    assert etree.fromstring(sad).attrib == {"id": "7"}
    assert _at(sad, "Global_taxes/Global_tax_item") == [None, "5"]
    assert _at(sad, "Transport/Border_office/Name") == ["Panji Poyon"]
    assert _at(sad, "Item[2]/Taxation/Taxation_line[3]/Duty_tax_code") == ["VAT"]
    assert len(_at(sad, "Item[2]/Taxation/Taxation_line")) == 3
    assert _at(sad, "Item[2]/Tarification/Supplementary_unit[2]/Suppplementary_unit_code") == ["LTR"]
    assert len(_at(sad, "Item[1]/Tarification/Supplementary_unit")) == 1
    assert _at(sad, "Item[5]/Free_text_1") == ["left over"]
    assert _at(sad, "Supplier_documents/Invoice_supplier_city") == ["Bokhtar"]
    assert _at(sad, "Traders/Exporter/Exporter_name") == ["ҶДММ Вахш Агро"]
    assert b"Unheard_of" not in sad


@pytest.mark.parametrize(("order", "text"), [("mdy", "3/1/26"), ("dmy", "01/03/2026"), ("ymd", "2026-03-01")])
def test_a_day_is_written_in_the_order_of_the_system(order: DateOrder, text: str) -> None:
    assert DAY.write(("2026-03-01",), Spelling(order)) == (text,)


def test_a_container_stands_once_for_each_item_of_it() -> None:
    data = {
        "container_numbers": ["MSCU9981402", "TTRU2634970"],
        "items": [{"number": 1, "container_numbers": ["TTRU2634970"]}, {"number": 2, "container_numbers": ["TTRU2634970", "BMOU5213449"]}],
    }
    assert list(container_blocks(data)) == [("MSCU9981402", None), ("TTRU2634970", 1), ("TTRU2634970", 2), ("BMOU5213449", 2)]
