from __future__ import annotations

import codecs
import gc

import pytest

from producers.formats.asycuda import FORMAT
from producers.formats.reading import Conventions, ReadDeclaration, Unread
from producers.formats.registry import load_formats
from schemas.content import validate
from schemas.drafts import missing, validate_draft
from tests.unit.formats.sads import BLANK_ITEM, HERE, ITEM, item, parts, read, refused, sad

EXPORT, IMPORT, TRANSIT = (f"customs.{kind}-declaration.v1" for kind in ("export", "import", "transit"))
REGISTRATION = "Identification__Registration__"


def codes(text: str) -> list[str]:
    return [warning.code for warning in read(text).warnings if warning.code != "values-kept"]


def test_it_is_one_of_the_formats() -> None:
    assert FORMAT in load_formats()


def test_a_registered_export_is_read_whole() -> None:
    told = read(sad())
    assert told.type == EXPORT
    assert missing(told.type, told.data) == ()
    assert validate(told.type, told.data).reference == "TJ/PNJ01/2026/E417"
    expected = {
        "registered_on": "2026-10-13",
        "declaration_type": "EX1",
        "exporter_name": "Vakhsh Agro, 12, Rudaki, Bokhtar",
        "vehicle_ids": ["1234AB01", "5678TJ"],
        "border_transport_mode": "3",
        "containerised": False,
        "invoice_amount": "10623724",
        "gross_mass_kg": "21500.5",
        "package_count": "420",
        "item_count": 1,
    }
    assert told.data | expected == told.data
    assert "extensions" not in told.data  # what only lays out the form is not kept
    (first,) = told.data["items"]
    assert (first["hs_code"], first["national_code"], first["description"]) == ("080810", "0000", "Apples, fresh")


def test_what_is_not_registered_is_a_draft() -> None:
    told = read(sad(**{REGISTRATION + name: None for name in ("Serial_number", "Number", "Date")}), Conventions())
    assert missing(told.type, told.data) == ("administration", "registration_year", "registration_number")
    assert validate_draft(told.type, told.data).items[0].hs_code == "080810"


def test_a_serial_without_a_number_registers_nothing_and_is_kept() -> None:
    told = read(sad(**{REGISTRATION + name: None for name in ("Number", "Date")}))
    assert "registration_number" not in told.data
    assert told.data["extensions"]["asycuda"]["Identification/Registration/Serial_number"] == "E"


def test_without_a_date_the_assessment_notice_tells_the_year() -> None:
    told = read(sad(**{REGISTRATION + "Date": "", "Assessment_notice__Registration_year": "2025"}))
    assert (told.data["registration_year"], told.data.get("registered_on")) == (2025, None)


@pytest.mark.parametrize(
    ("flow", "declared", "procedure", "transit", "expected"),
    [
        ("E", "EX", "1", None, EXPORT),
        ("I", "IM", "4", None, IMPORT),
        (None, "IMR", "4", None, IMPORT),
        ("E", None, "", None, EXPORT),
        ("I", "IM", "4", "T1", IMPORT),
        (None, None, "", "T1", TRANSIT),
        ("E", "TR", "8", None, TRANSIT),
        (None, None, "", None, EXPORT),  # by the procedure of its items, 1000
    ],
)
def test_flow_type_and_transit_document_tell_which_declaration_it_is(
    flow: str | None, declared: str | None, procedure: str, transit: str | None, expected: str
) -> None:
    kinds = {"Type_of_declaration": declared, "Declaration_gen_procedure_code": procedure, "Type_of_transit_document": transit}
    text = sad(Property__Sad_flow=flow, **{f"Identification__Type__{name}": said for name, said in kinds.items()})
    assert read(text).type == expected


def test_a_flow_that_contradicts_its_type_is_refused() -> None:
    assert [problem.code for problem in refused(sad(Property__Sad_flow="I")).problems] == ["rule-broken"]


def test_a_blank_form_is_refused_for_what_it_is() -> None:
    for text in (sad(BLANK_ITEM), sad().replace("<Item>", "<!-- <Item>").replace("</Item>", "</Item> -->"), "<ASYCUDA/>"):
        (problem,) = refused(text).problems
        assert problem.code == "form-blank"


def test_blank_items_are_left_out_and_places_of_containers_stay_right() -> None:
    blocks = "<Container><Item_Number>3</Item_Number><Container_identity>MSCU9981402</Container_identity></Container>"
    counted = {"Property__Nbers__Total_number_of_items": "3", "Property__Forms__Total_number_of_forms": "2"}
    told = read(sad(ITEM, BLANK_ITEM, ITEM, blocks=blocks, **counted))
    assert [each["number"] for each in told.data["items"]] == [1, 2]
    assert told.data["items"][1]["container_numbers"] == ["MSCU9981402"]
    assert codes(sad(ITEM, BLANK_ITEM, ITEM, **counted)) == ["count-differs"]
    assert told.data["extensions"]["asycuda"] == {"Property/Nbers/Total_number_of_items": "3"}


def test_an_item_that_says_something_but_no_goods_is_kept_beside_the_data() -> None:
    told = read(sad(ITEM, {"Free_text_1": "see annex", "Valuation_item/Total_CIF_itm": "0.0"}))
    assert len(told.data["items"]) == 1
    assert told.data["extensions"]["asycuda"] == {"Item[2]/Valuation_item/Total_CIF_itm": "0.0", "Item[2]/Free_text_1": "see annex"}
    assert codes(sad(ITEM, {"Free_text_1": "see annex"})) == ["item-blank"]


@pytest.mark.parametrize(
    ("path", "text", "code"),
    [
        ("Transport__Means_of_transport__Border_information__Mode", "31", "code-local"),
        ("Transport__Delivery_terms__Code", "C&F", "code-local"),
        ("General_information__Country__Export__Export_country_code", "QN", "code-local"),
        ("Transport__Border_office__Code", "the bridge", "code-odd"),
        ("Valuation__Total__Total_weight", "1.12345678", "decimal-long"),
        ("Property__Nbers__Total_number_of_items", "7", "count-differs"),
    ],
)
def test_what_no_field_takes_is_kept_with_a_warning(path: str, text: str, code: str) -> None:
    told = read(sad(**{path: text}))
    (warning, kept) = told.warnings
    assert (warning.code, warning.problem.value, warning.place.path) == (code, text, path.replace("__", "/"))
    assert warning.place.line
    assert told.data["extensions"]["asycuda"] == {path.replace("__", "/"): text}
    assert kept.problem.text.startswith("1 values")


def test_a_text_too_long_to_be_kept_whole_is_cut_with_a_warning_that_tells_where_it_stands() -> None:
    document = sad(Transport__Border_office__Name="a" * 2_001, Valuation__Gs_Invoice__Currency_name="b" * 2_000)
    told = read(document)
    kept = told.data["extensions"]["asycuda"]
    assert kept == {"Transport/Border_office/Name": "a" * 2_000, "Valuation/Gs_Invoice/Currency_name": "b" * 2_000}
    (warning,) = [warning for warning in told.warnings if warning.code == "text-cut"]
    assert (warning.place.path, warning.place.line) == ("Transport/Border_office/Name", document[: document.index("aaa")].count("\n") + 1)
    assert "2,001 characters" in str(warning)


def test_a_document_that_is_one_text_is_a_blank_form() -> None:
    assert refused("<ASYCUDA kind='a'>nothing</ASYCUDA>").problems[0].code == "form-blank"


def test_nothing_of_a_document_waits_for_the_collector() -> None:
    document = sad(ITEM, item(Goods_description__Country_of_origin_code="QN"), BLANK_ITEM)
    read(document)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            read(document)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_local_codes_are_translated_by_the_tables_of_the_source() -> None:
    conventions = Conventions("tj", codes={"transport-modes": {"31": "3"}, "package-kinds": {"09": "BX"}})
    text = sad(item(Packages__Kind_of_packages_code="09"), Transport__Means_of_transport__Border_information__Mode="31")
    told = read(text, conventions)
    assert (told.data["border_transport_mode"], told.data["items"][0]["package_kind"]) == ("3", "BX")
    assert told.warnings == ()


def test_a_container_with_a_wrong_check_digit_is_kept_with_a_warning() -> None:
    block = (
        "<Container><Item_Number>1</Item_Number><Container_identity>{}</Container_identity>"
        "<Container_type>20GP</Container_type></Container>"
    )
    told = read(sad(blocks=block.format("MSCU9981403") + block.format("MSCU9981402")))
    assert told.data["container_numbers"] == told.data["items"][0]["container_numbers"] == ["MSCU9981402"]
    assert told.data["extensions"]["asycuda"] == {  # those that are in the data come first
        "Container[1]/Container_type": "20GP",
        "Container[2]/Container_identity": "MSCU9981403",
        "Container[2]/Item_Number": "1",
        "Container[2]/Container_type": "20GP",
    }


def test_a_net_mass_above_the_gross_mass_is_set_aside() -> None:
    told = read(sad(item(Valuation_item__Weight_itm__Net_weight_itm="99999")))
    assert "net_mass_kg" not in told.data["items"][0]
    assert told.warnings[0].code == "net-above-gross"


def test_a_power_line_has_no_vehicle() -> None:
    told = read(sad(Transport__Means_of_transport__Border_information__Mode="7"))
    validate(told.type, told.data)
    assert told.data["extensions"]["asycuda"]["Transport/Means_of_transport/Border_information/Identity"] == "1234AB01/5678TJ"


def test_documents_without_code_or_reference_are_kept_beside_the_data() -> None:
    def document(code: str | None, reference: str | None, name: str) -> str:
        code, reference = (said if said else "<null/>" for said in (code, reference))
        return (
            f"<Attached_documents><Attached_document_code>{code}</Attached_document_code>"
            f"<Attached_document_reference>{reference}</Attached_document_reference>"
            f"<Attached_document_name>{name}</Attached_document_name></Attached_documents>"
        )

    blocks = document(None, None, "") + document("380", None, "Invoice") + document("271", "PL 4", "Packing list")
    told = read(sad().replace("<Item>", f"<Item>{blocks}"))
    assert told.data["items"][0]["documents"] == [{"type_code": "271", "reference": "PL 4"}]
    assert told.data["extensions"]["asycuda"] == {
        "Item[1]/Attached_documents[1]/Attached_document_name": "Packing list",
        "Item[1]/Attached_documents[2]/Attached_document_name": "Invoice",
        "Item[1]/Attached_documents[2]/Attached_document_code": "380",
    }


def test_the_second_supplementary_unit_is_never_mixed_with_the_first() -> None:
    units = "".join(
        f"<Supplementary_unit><Suppplementary_unit_code>{code}</Suppplementary_unit_code>"
        f"<Suppplementary_unit_quantity>{quantity}</Suppplementary_unit_quantity></Supplementary_unit>"
        for code, quantity in (("NMB", ""), ("LTR", "108.0"))
    )
    told = read(sad().replace("<Tarification>", f"<Tarification>{units}"))
    assert (told.data["items"][0]["supplementary_unit"], told.data["items"][0].get("supplementary_quantity")) == ("NMB", None)


def test_the_traders_words_go_before_the_tariffs() -> None:
    both = item(Goods_description__Commercial_Description=None, Goods_description__Description_of_goods="- - OTHER")
    assert read(sad(both)).data["items"][0]["description"] == "- - OTHER"
    first = "<Description_of_goods>- - OTHER</Description_of_goods><Commercial_Description>"
    told = read(sad().replace("<Commercial_Description>", first))
    assert told.data["items"][0]["description"] == "Apples, fresh"
    assert told.data["extensions"]["asycuda"] == {"Item[1]/Goods_description/Description_of_goods": "- - OTHER"}


def test_an_item_without_a_commodity_code_makes_a_draft() -> None:
    told = read(sad(ITEM, item(Tarification__HScode__Commodity_code=None, Tarification__HScode__Precision_1=None)))
    assert missing(told.type, told.data) == ("items.1.hs_code",)
    assert len(validate_draft(told.type, told.data).items) == 2


# -- How files are spelled


@pytest.mark.parametrize(
    "spelled",
    [
        lambda text: text,
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: codecs.BOM_UTF16_LE + text.replace("UTF-8", "UTF-16").encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.replace("UTF-8", "UTF-16").encode("utf-16-be"),
        lambda text: text.replace("\n", ""),
        lambda text: text.replace("<null/>", ""),
        lambda text: text.replace("<null/>", " <null /> <!-- nothing -->"),
        lambda text: text.replace("><", "> \u00a0 <"),
        lambda text: text.replace(">\n", ">\n<!-- -->\n"),
        lambda text: text.replace("ASYCUDA", "a:ASYCUDA").replace("<a:ASYCUDA>", '<a:ASYCUDA xmlns:a="urn:x">'),
        lambda text: text.replace("<ASYCUDA>", "<Envelope><Body><ASYCUDA>").replace("</ASYCUDA>", "</ASYCUDA></Body></Envelope>"),
    ],
)
def test_a_sad_is_the_same_however_it_is_spelled(spelled) -> None:  # type: ignore[no-untyped-def]
    said = spelled(sad().replace("Vakhsh Agro\n  12, Rudaki\n  Bokhtar", "Vakhsh Agro"))
    raw = said if isinstance(said, bytes) else said.encode()
    assert FORMAT.recognises(raw[:4096])
    assert read(raw).data == read(sad(Traders__Exporter__Exporter_name="Vakhsh Agro")).data


@pytest.mark.parametrize(
    ("variant", "known"),
    [
        ("Item/Free_Text_1", "Item[1]/Free_text_1"),
        ("Item/Tarification/AI_code", "Item[1]/Tarification/A.I._code"),
        ("Item/Valuation_item/item_External_freight/Currency_rate", "Item[1]/Valuation_item/item_external_freight/Currency_rate"),
        ("Export_release/Time_of_Exit", "Export_release/Time_of_exit"),
        ("Financial/Deferred_payment_reference", "Financial/Deffered_payment_reference"),
    ],
)
def test_misspellings_and_their_variants_are_one_element(variant: str, known: str) -> None:
    if variant.startswith("Item/"):
        told = read(sad(item(**{variant.removeprefix("Item/").replace("/", "__"): "7"})))
    else:
        told = read(sad(**{variant.replace("/", "__"): "7"}))
    extensions = told.data["extensions"]
    assert extensions.get("asycuda", {}).get(known) == "7" or extensions["items"]["1"]["free_text"] == "7"


def test_freight_is_read_however_it_is_spelled() -> None:
    told = read(sad(Valuation__Gs_External_freight__Amount_foreign_currency="143.150"))
    assert told.data["freight_amount"] == "143.15"


def test_attributes_are_kept() -> None:
    told = read(sad().replace("<ASYCUDA>", '<ASYCUDA id="555201">'))
    assert told.data["extensions"]["asycuda"] == {"@id": "555201"}


def test_persian_digits_are_digits() -> None:
    told = read(sad(item(Valuation_item__Weight_itm__Gross_weight_itm="۲۱۵۰۰٫۵"), Identification__Registration__Number="٤١٧"))
    assert (told.data["items"][0]["gross_mass_kg"], told.data["registration_number"]) == ("21500.5", "E417")


def test_a_no_break_space_is_a_space() -> None:
    assert read(sad(item(Goods_description__Commercial_Description="-\u00a0Apples\u00a0"))).data["items"][0]["description"] == "- Apples"


def test_several_sads_of_one_file_are_several_declarations() -> None:
    one, two = (sad(Identification__Registration__Number=number).partition("?>\n")[2] for number in ("417", "418"))
    first, blank, second = parts(f"<Batch>{one}{sad(BLANK_ITEM).partition('?>')[2]}{two}</Batch>")
    assert isinstance(first, ReadDeclaration)
    assert isinstance(blank, Unread)
    assert isinstance(second, ReadDeclaration)
    assert (first.data["registration_number"], second.data["registration_number"]) == ("E417", "E418")
    assert first.line != second.line


# -- Dates


def test_an_ambiguous_date_is_refused_with_its_place() -> None:
    (problem,) = refused(sad(**{REGISTRATION + "Date": "4/1/15"})).problems
    assert (problem.code, problem.place.path, problem.problem.value) == ("date-ambiguous", "Identification/Registration/Date", "4/1/15")
    assert problem.place.line
    assert problem.problem.field == "registered_on"


def test_the_sources_order_decides_an_ambiguous_date() -> None:
    for order, day in (("dmy", "2015-01-04"), ("mdy", "2015-04-01")):
        told = read(sad(**{REGISTRATION + "Date": "4/1/15"}), Conventions("tj", date_order=order))  # type: ignore[arg-type]
        assert told.data["registered_on"] == day


def test_another_date_of_the_document_decides_an_ambiguous_one() -> None:
    told = read(sad(**{REGISTRATION + "Date": "4/1/15", "Identification__receipt__Date": "4/13/15"}))
    assert told.data["registered_on"] == "2015-04-01"
    assert told.data["extensions"]["asycuda"] == {"Identification/receipt/Date": "4/13/15"}


# -- What is wrong


@pytest.mark.parametrize(
    ("path", "text", "code", "field"),
    [
        ("Identification__Office_segment__Customs_clearance_office_code", "the bridge", "field-invalid", "office_code"),
        ("Transport__Container_flag", "maybe", "field-invalid", "containerised"),
        ("Valuation__Total__Total_weight", "-1", "field-invalid", "gross_mass_kg"),
        ("Valuation__Total__Total_weight", "1,234", "number-ambiguous", "gross_mass_kg"),
        ("Property__Nbers__Total_number_of_items", "two", "field-invalid", "item_count"),
        ("Identification__Registration__Date", "13/13/26", "date-invalid", "registered_on"),
        ("Identification__Registration__Date", "1405-01-02", "year-implausible", "registered_on"),
    ],
)
def test_what_is_wrong_is_told_with_path_line_and_value(path: str, text: str, code: str, field: str) -> None:
    said = sad(**{path: text})
    (problem,) = refused(said).problems
    assert (problem.code, problem.problem.field, problem.problem.value) == (code, field, text)
    assert problem.place.path == path.replace("__", "/")
    assert text in said.splitlines()[(problem.place.line or 0) - 1]


def test_a_wrong_item_is_told_by_its_place() -> None:
    said = sad(ITEM, item(Tarification__HScode__Commodity_code="12AB"))
    (problem,) = refused(said).problems
    assert (problem.code, problem.problem.field) == ("field-invalid", "items.1.hs_code")
    assert problem.place.path == "Item[2]/Tarification/HScode/Commodity_code"
    assert "12AB" in said.splitlines()[(problem.place.line or 0) - 1]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    said = sad(
        item(Valuation_item__Weight_itm__Gross_weight_itm="heavy"), Transport__Container_flag="?", Valuation__Total__Total_weight="x"
    )
    assert len(refused(said).problems) == 3


def test_broken_xml_is_told_with_its_line() -> None:
    said = sad().replace("</Traders>", "</Trader>")
    (problem,) = refused(said).problems
    assert problem.code == "xml-malformed"
    assert "</Trader>" in said.splitlines()[(problem.place.line or 0) - 1]


def test_a_sad_before_broken_xml_is_good() -> None:
    one = sad().partition("?>\n")[2]
    good, broken = parts(f"<Batch>{one}<ASYCUDA><Item></ASYCUDA></Batch>")
    assert isinstance(good, ReadDeclaration)
    assert isinstance(broken, Unread)


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE ASYCUDA [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE ASYCUDA [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY x "&b;&b;&b;">]>',
        '<!DOCTYPE ASYCUDA SYSTEM "http://127.0.0.1:9/asycuda.dtd">',
    ],
)
def test_entities_are_never_followed(doctype: str) -> None:
    said = sad(Traders__Exporter__Exporter_name="name").replace("<ASYCUDA>", f"{doctype}<ASYCUDA>").replace(">name<", ">&x;<")
    assert refused(said).problems[0].code in {"xml-doctype", "xml-malformed"}


def test_deep_nesting_is_refused() -> None:
    assert refused("<ASYCUDA>" + "<a>" * 60 + "</a>" * 60 + "</ASYCUDA>").problems[0].code == "xml-deep"


def test_bytes_of_another_encoding_are_refused_as_no_xml() -> None:
    assert refused(sad(Traders__Exporter__Exporter_name="Душанбе").encode("cp1251")).problems[0].code == "xml-malformed"


def test_nine_hundred_and_ninety_nine_items_are_taken() -> None:
    told = read(sad(*[ITEM] * 999, Property__Nbers__Total_number_of_items="999"), HERE)
    assert validate(told.type, told.data).item_count == 999
