"""The declared mapping between the elements of a SAD and the fields of a declaration, to be read and reviewed line by line.

A path begins at the root; `Item[]` is each item in turn, `Item[]/Attached_documents[]` each of its documents; a field's path is built the
same way. A rule of several elements takes and gives them in the row's order. `extensions.…` is what the data model has no field for: it is
kept under that name, an item's under `extensions.items.<its number>`. What stands in no row is not carried over: sums and taxes that the
national system reckons itself, names that belong to codes, and blank forms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from schemas.sad.rules import (
    AMOUNT_TWICE,
    CODE,
    COMMODITY,
    DAY,
    DECLARATION_TYPE,
    DESCRIPTION,
    FLAG,
    FLOW,
    GUARANTEE,
    PREVIOUS,
    REGISTRATION,
    SEALS,
    TEXT,
    VEHICLES,
    WHOLE,
    Rule,
    code,
    decimal,
)


class Kind(StrEnum):
    """Which declaration a SAD is."""

    EXPORT = "export"
    IMPORT = "import"
    TRANSIT = "transit"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the mapping: elements, fields, and the rule between them; `kinds` where it holds for some declarations only."""

    paths: tuple[str, ...]
    fields: tuple[str, ...]
    rule: Rule
    unit: str | None = None
    kinds: frozenset[Kind] = frozenset(Kind)
    note: str | None = None

    @property
    def group(self) -> str:
        """Where its elements repeat: `Item[]/Attached_documents[]`; empty in the header."""
        return self.paths[0][: self.paths[0].rindex("[]") + 2] if "[]" in self.paths[0] else ""

    @property
    def list_field(self) -> str:
        """The list in which its fields stand: `items[].documents[]`; empty in the header."""
        return self.fields[0][: self.fields[0].rindex("[]") + 2] if "[]" in self.fields[0] else ""

    @property
    def names(self) -> tuple[str, ...]:
        """The fields' names within their list: `type_code`."""
        return tuple(each[len(self.list_field) :].lstrip(".") for each in self.fields)


def _beneath(root: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{root}/{name}" for name in names)


def _row(path: str, field: str, rule: Rule = TEXT, unit: str | None = None) -> Row:
    return Row((path,), (field,), rule, unit)


def _border_office(field: str, *kinds: Kind) -> Row:
    return Row(("Transport/Border_office/Code",), (field,), code("offices"), kinds=frozenset(kinds))


_TRANSIT = frozenset({Kind.TRANSIT})
_ID, _COUNTRY, _MEANS = "Identification", "General_information/Country", "Transport/Means_of_transport"
_GOODS, _TARIFF, _VALUE = "Item[]/Goods_description", "Item[]/Tarification", "Item[]/Valuation_item"

_HEADER = (
    Row(
        ("Property/Sad_flow", f"{_ID}/Type/Type_of_transit_document", f"{_ID}/Type/Type_of_declaration"),
        ("kind",),
        FLOW,
        note="not a field: which declaration it is",
    ),
    _row(f"{_ID}/Office_segment/Customs_clearance_office_code", "office_code", code("offices")),
    Row(
        (*_beneath(f"{_ID}/Registration", "Serial_number", "Number", "Date"), "Assessment_notice/Registration_year"),
        ("registration_number", "registration_year", "registered_on"),
        REGISTRATION,
    ),
    Row(
        _beneath(f"{_ID}/Type", "Type_of_declaration", "Declaration_gen_procedure_code"),
        ("declaration_type",),
        DECLARATION_TYPE,
        kinds=frozenset({Kind.EXPORT, Kind.IMPORT}),
    ),
    Row((f"{_ID}/Type/Type_of_transit_document",), ("declaration_type",), CODE, kinds=_TRANSIT),
    _row("Declarant/Reference/Number", "local_reference"),
    _row("Traders/Exporter/Exporter_code", "exporter_id", CODE),
    _row("Traders/Exporter/Exporter_name", "exporter_name"),
    _row("Traders/Consignee/Consignee_code", "consignee_id", CODE),
    _row("Traders/Consignee/Consignee_name", "consignee_name"),
    _row("Declarant/Declarant_code", "declarant_id", CODE),
    _row("Declarant/Declarant_name", "declarant_name"),
    _row(f"{_COUNTRY}/Export/Export_country_code", "export_country", code("countries")),
    _row(f"{_COUNTRY}/Destination/Destination_country_code", "destination_country", code("countries")),
    _row(f"{_MEANS}/Border_information/Mode", "border_transport_mode", code("transport-modes")),
    _row(f"{_MEANS}/Inland_mode_of_transport", "inland_transport_mode", code("transport-modes")),
    _row(f"{_MEANS}/Border_information/Identity", "vehicle_ids", VEHICLES),
    _row(f"{_MEANS}/Border_information/Nationality", "vehicle_nationality", code("countries")),
    _row(f"{_MEANS}/Departure_arrival_information/Identity", "inland_vehicle_ids", VEHICLES),
    _row("Transport/Container_flag", "containerised", FLAG),
    _row("Transit/Seals/Identity", "seal_numbers", SEALS),
    _row("Transport/Delivery_terms/Code", "incoterm", code("incoterms")),
    _border_office("exit_office", Kind.EXPORT, Kind.TRANSIT),
    _border_office("entry_office", Kind.IMPORT),
    Row(("Valuation/Gs_Invoice/Amount_foreign_currency", "Valuation/Total/Total_invoice"), ("invoice_amount",), AMOUNT_TWICE),
    _row("Valuation/Gs_Invoice/Currency_code", "invoice_currency", code("currencies")),
    _row("Valuation/Gs_external_freight/Amount_foreign_currency", "freight_amount", decimal(4)),
    _row("Valuation/Gs_external_freight/Currency_code", "freight_currency", code("currencies")),
    _row("Valuation/Gs_insurance/Amount_foreign_currency", "insurance_amount", decimal(4)),
    _row("Valuation/Gs_insurance/Currency_code", "insurance_currency", code("currencies")),
    _row("Valuation/Total/Total_weight", "gross_mass_kg", decimal(6), "kg"),
    _row("Property/Nbers/Total_number_of_packages", "package_count", decimal(6), "packages"),
    _row("Property/Nbers/Total_number_of_items", "item_count", WHOLE, "items"),
    Row(("Transit/Principal/Code",), ("principal_id",), CODE, kinds=_TRANSIT),
    Row(("Transit/Principal/Name",), ("principal_name",), TEXT, kinds=_TRANSIT),
    Row(("Transit/Destination/Office",), ("destination_office",), code("offices"), kinds=_TRANSIT),
    Row(("Transit/Time_limit",), ("time_limit_on",), DAY, kinds=_TRANSIT),
    Row(("Financial/Guarantee/Name", "Financial/Guarantee/Amount"), ("guarantee",), GUARANTEE, kinds=_TRANSIT),
)

_ITEMS = (
    Row(_beneath(f"{_TARIFF}/HScode", "Commodity_code", "Precision_1"), ("items[].hs_code", "items[].national_code"), COMMODITY),
    Row(_beneath(_GOODS, "Commercial_Description", "Description_of_goods"), ("items[].description",), DESCRIPTION),
    _row(f"{_GOODS}/Country_of_origin_code", "items[].origin_country", code("countries")),
    _row(f"{_VALUE}/Weight_itm/Gross_weight_itm", "items[].gross_mass_kg", decimal(6), "kg"),
    _row(f"{_VALUE}/Weight_itm/Net_weight_itm", "items[].net_mass_kg", decimal(6), "kg"),
    _row("Item[]/Packages/Number_of_packages", "items[].package_count", decimal(6), "packages"),
    _row("Item[]/Packages/Kind_of_packages_code", "items[].package_kind", code("package-kinds")),
    _row(f"{_TARIFF}/Supplementary_unit/Suppplementary_unit_quantity", "items[].supplementary_quantity", decimal(6), "supplementary_unit"),
    _row(f"{_TARIFF}/Supplementary_unit/Suppplementary_unit_code", "items[].supplementary_unit", code("units")),
    _row(f"{_TARIFF}/Extended_customs_procedure", "items[].procedure_code", code("procedures")),
    _row(f"{_TARIFF}/National_customs_procedure", "items[].national_procedure", CODE),
    Row(
        (f"{_TARIFF}/Item_price", f"{_VALUE}/Item_Invoice/Amount_foreign_currency"),
        ("items[].item_price",),
        AMOUNT_TWICE,
        "invoice_currency",
    ),
    _row(f"{_VALUE}/Statistical_value", "items[].statistical_value", decimal(4), "national currency"),
    Row(_beneath("Item[]/Previous_doc", "Summary_declaration", "Previous_document_reference"), ("items[].previous_documents",), PREVIOUS),
    _row("Item[]/Attached_documents[]/Attached_document_code", "items[].documents[].type_code", code("documents")),
    _row("Item[]/Attached_documents[]/Attached_document_reference", "items[].documents[].reference"),
    _row("Item[]/Attached_documents[]/Attached_document_date", "items[].documents[].issued_on", DAY),
)

# Where containers stand: a block each, and the number of the item in it, once for every item. The one relation that no row can say:
# `container_numbers` has each of them once, `items[].container_numbers` those of the item; one of no item has no item number.
CONTAINER, CONTAINER_ITEM, CONTAINER_NUMBER = "Container[]", "Container[]/Item_Number", "Container[]/Container_identity"

_KEPT = (
    _row("Declarant/Declarant_representative", "extensions.declarant_representative"),
    _row("Traders/Financial/Financial_code", "extensions.financial_id"),
    _row("Traders/Financial/Financial_name", "extensions.financial_name"),
    _row(f"{_ID}/Manifest_reference_number", "extensions.manifest_reference"),
    _row(f"{_COUNTRY}/Country_first_destination", "extensions.first_destination_country"),
    _row(f"{_COUNTRY}/Trading_country", "extensions.trading_country"),
    _row("General_information/Additional_information", "extensions.additional_information"),
    _row("General_information/Comments_free_text", "extensions.comments"),
    _row(f"{_MEANS}/Departure_arrival_information/Nationality", "extensions.inland_vehicle_nationality"),
    _row("Transport/Delivery_terms/Place", "extensions.delivery_place"),
    _row("Transport/Place_of_loading/Code", "extensions.loading_place_code"),
    _row("Transport/Place_of_loading/Name", "extensions.loading_place"),
    _row("Transport/Location_of_goods", "extensions.goods_location"),
    _row("Export_release/Actual_office_of_exit_code", "extensions.actual_exit_office"),
    _row("Financial/Mode_of_payment", "extensions.payment_mode"),
    _row("Financial/Terms/Code", "extensions.payment_terms"),
    _row("Warehouse/Identification", "extensions.warehouse"),
    _row("Item[]/Packages/Marks1_of_packages", "extensions.items[].marks"),
    _row("Item[]/Packages/Marks2_of_packages", "extensions.items[].more_marks"),
    _row(f"{_TARIFF}/HScode/Precision_4", "extensions.items[].part_number"),
    _row(f"{_TARIFF}/Preference_code", "extensions.items[].preference"),
    _row("Item[]/Licence_number", "extensions.items[].licence"),
    _row("Item[]/Free_text_1", "extensions.items[].free_text"),
    _row("Item[]/Free_text_2", "extensions.items[].more_free_text"),
)

TABLE: tuple[Row, ...] = (*_HEADER, *_ITEMS, *_KEPT)


def rows_of(kind: Kind, group: str) -> Iterator[Row]:
    """Give the rows that hold for declarations of this kind, of one group (`""`, `Item[]`, `Item[]/Attached_documents[]`)."""
    return (row for row in TABLE if kind in row.kinds and row.group == group)
