"""The elements of a SAD in the order in which ASYCUDA World exports them, its fixed misspellings included.

Taken from real exports (4.2 and later, several administrations), as UNCTAD publishes no schema that fits them. Where systems spell an
element in two ways, the more frequent one stands here (`Free_text_1`, `item_external_freight`, `A.I._code`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# One element a line, its parts indented beneath. `[]`: as many as there are, none when there is nothing to say. `+`: the same, but one at
# least. `?`: only when it, or a part of it, has a value. `#`: a number or a date, whose blank form is `<X/>`; that of a text is
# `<X><null/></X>`.
_TREE = """
Export_release
  Date_of_exit #
  Time_of_exit #
  Actual_office_of_exit_code
  Actual_office_of_exit_name
  Exit_reference
  Comments
Assessment_notice
  Item_tax_total [] #
  Registration_year ?
  Assessment_year ? #
  Total_item_taxes ? #
  Statement_number ?
  Statement_date ? #
  Statement_serial ?
  Items_taxes ? #
  Global_taxes ? #
Global_taxes
  Global_tax_item [] #
Property
  Sad_flow
  Forms
    Number_of_the_form #
    Total_number_of_forms #
  Nbers
    Number_of_loading_lists #
    Total_number_of_items #
    Total_number_of_packages #
  Place_of_declaration
  Date_of_declaration #
  Selected_page #
Identification
  Office_segment
    Customs_clearance_office_code
    Customs_Clearance_office_name
  Type
    Type_of_declaration
    Declaration_gen_procedure_code
    Type_of_transit_document
  Manifest_reference_number
  Registration
    Serial_number
    Number #
    Date #
  Assessment
    Serial_number
    Number #
    Date #
  receipt
    Serial_number
    Number #
    Date #
Traders
  Exporter
    Exporter_code
    Exporter_name
  Consignee
    Consignee_code
    Consignee_name
  Financial
    Financial_code
    Financial_name
Declarant
  Declarant_code
  Declarant_name
  Declarant_representative
  Reference
    Number
    Year ? #
General_information
  Country
    Country_first_destination
    Trading_country
    Export
      Export_country_code
      Export_country_name
      Export_country_region
    Destination
      Destination_country_code
      Destination_country_name
      Destination_country_region
    Country_of_origin_name
  Value_details #
  CAP
  Additional_information
  Comments_free_text
Transport
  Means_of_transport
    Departure_arrival_information
      Identity
      Nationality
    Border_information
      Identity
      Nationality
      Mode
    Inland_mode_of_transport
  Container_flag
  Single_waybill_flag ?
  Delivery_terms
    Code
    Place
    Situation
  Border_office
    Code
    Name
  Place_of_loading
    Code
    Name
    Country
  Location_of_goods
Financial
  Financial_transaction
    code1
    code2
  Bank
    Code
    Name
    Branch
    Reference
  Terms
    Code
    Description
  Total_invoice #
  Deffered_payment_reference
  Mode_of_payment
  Amounts
    Total_manual_taxes #
    Global_taxes #
    Totals_taxes #
  Guarantee
    Name
    Amount #
    Date #
    Excluded_country
      Code
      Name
Warehouse
  Identification
  Delay #
Transit
  Principal
    Code
    Name
    Representative
  Signature
    Place
    Date #
  Destination
    Office
    Country
  Seals
    Number #
    Identity
  Result_of_control
  Time_limit #
  Officer_name
Valuation
  Calculation_working_mode #
  Weight
    Gross_weight #
  Total_cost #
  Total_CIF #
  Gs_Invoice
    Amount_national_currency #
    Amount_foreign_currency #
    Currency_code
    Currency_name
    Currency_rate #
  Gs_external_freight
    Amount_national_currency #
    Amount_foreign_currency #
    Currency_code
    Currency_name
    Currency_rate #
  Gs_internal_freight
    Amount_national_currency #
    Amount_foreign_currency #
    Currency_code
    Currency_name
    Currency_rate #
  Gs_insurance
    Amount_national_currency #
    Amount_foreign_currency #
    Currency_code
    Currency_name
    Currency_rate #
  Gs_other_cost
    Amount_national_currency #
    Amount_foreign_currency #
    Currency_code
    Currency_name
    Currency_rate #
  Gs_deduction
    Amount_national_currency #
    Amount_foreign_currency #
    Currency_code
    Currency_name
    Currency_rate #
  Total
    Total_invoice #
    Total_weight #
Container []
  Item_Number #
  Container_identity
  Container_type
  Empty_full_indicator
  Gross_weight #
  Goods_description
  Packages_type
  Packages_number #
  Packages_weight #
Prev_decl []
  Prev_decl_office_code
  Prev_decl_reg_year #
  Prev_decl_reg_serial
  Prev_decl_reg_number #
  Prev_decl_item_number #
  Prev_decl_HS_code
  Prev_decl_HS_prec
  Prev_decl_country_origin
  Prev_decl_number_packages #
  Prev_decl_weight #
  Prev_decl_supp_quantity #
  Prev_decl_ref_value #
  Prev_decl_current_item #
  Prev_decl_number_packages_written_off #
  Prev_decl_weight_written_off #
  Prev_decl_supp_quantity_written_off #
  Prev_decl_ref_value_written_off #
Item []
  Attached_documents []
    Attached_document_code
    Attached_document_name
    Attached_document_reference
    Attached_document_from_rule #
    Attached_document_date #
  Suppliers_link []
    Suppliers_link_code
  Packages
    Number_of_packages #
    Marks1_of_packages
    Marks2_of_packages
    Kind_of_packages_code
    Kind_of_packages_name
  IncoTerms
    Code
    Place
  Tarification
    Tarification_data
    HScode
      Commodity_code
      Precision_1
      Precision_2
      Precision_3
      Precision_4
    Preference_code
    Extended_customs_procedure
    National_customs_procedure
    Quota_code
    Quota ?
      QuotaCode
      QuotaId
      QuotaItem
        ItmNbr
    Supplementary_unit +
      Suppplementary_unit_code
      Suppplementary_unit_name
      Suppplementary_unit_quantity #
    Item_price #
    Valuation_method_code
    Value_item
    Attached_doc_item
    A.I._code
  Goods_description
    Country_of_origin_code
    Country_of_origin_region
    Description_of_goods
    Commercial_Description
  Previous_doc
    Summary_declaration
    Summary_declaration_sl
    Previous_document_reference
    Previous_warehouse_code
  Licence_number
  Amount_deducted_from_licence #
  Quantity_deducted_from_licence #
  Free_text_1
  Free_text_2
  Taxation
    Item_taxes_amount #
    Item_taxes_guaranted_amount #
    Item_taxes_mode_of_payment
    Counter_of_normal_mode_of_payment #
    Displayed_item_taxes_amount #
    Taxation_line []
      Duty_tax_code
      Duty_tax_Base #
      Duty_tax_rate #
      Duty_tax_amount #
      Duty_tax_MP
      Duty_tax_Type_of_calculation
  Valuation_item
    Weight_itm
      Gross_weight_itm #
      Net_weight_itm #
    Total_cost_itm #
    Total_CIF_itm #
    Rate_of_adjustement #
    Statistical_value #
    Alpha_coeficient_of_apportionment #
    Item_Invoice
      Amount_national_currency #
      Amount_foreign_currency #
      Currency_code
      Currency_name
      Currency_rate #
    item_external_freight
      Amount_national_currency #
      Amount_foreign_currency #
      Currency_code
      Currency_name
      Currency_rate #
    item_internal_freight
      Amount_national_currency #
      Amount_foreign_currency #
      Currency_code
      Currency_name
      Currency_rate #
    item_insurance
      Amount_national_currency #
      Amount_foreign_currency #
      Currency_code
      Currency_name
      Currency_rate #
    item_other_cost
      Amount_national_currency #
      Amount_foreign_currency #
      Currency_code
      Currency_name
      Currency_rate #
    item_deduction
      Amount_national_currency #
      Amount_foreign_currency #
      Currency_code
      Currency_name
      Currency_rate #
    Market_valuer ?
      Rate #
      Currency_code
      Currency_amount #
      Basis_description
      Basis_amount #
  write_off_unit []
    write_off_unit_code
    write_off_unit_qty #
Supplier_documents []
  Invoice_supplier_name
  Invoice_supplier_country
  Invoice_supplier_city
  Invoice_supplier_street
  Invoice_supplier_telephone
  Invoice_supplier_fax
  Invoice_supplier_zip_code
  Invoice_suppliert_email_address
Suppliers_documents []
  Suppliers_document_itmlink
  Suppliers_document_code
  Suppliers_document_name
  Suppliers_document_country
  Suppliers_document_city
  Suppliers_document_street
  Suppliers_document_telephone
  Suppliers_document_fax
  Suppliers_document_zip_code
  Suppliers_document_invoice_nbr
  Suppliers_document_invoice_amt
  Suppliers_document_type_code
  Suppliers_document_date #
"""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its name and path from the root (`Item[]/Packages/Number_of_packages`), its parts, and how it is written when blank.

    Of those that repeat and are `always` there, the first one has the path of its name alone.
    """

    name: str
    path: str
    parts: tuple[Element, ...]
    repeats: bool = False
    always: bool = False
    optional: bool = False
    numeric: bool = False


def _parse(lines: list[str], depth: int, above: str) -> tuple[Element, ...]:
    elements = []
    while lines and len(lines[0]) - len(lines[0].lstrip()) == 2 * depth:
        name, *marks = lines.pop(0).split()
        path = f"{above}{name}{'[]' if '[]' in marks else ''}"
        parts = _parse(lines, depth + 1, f"{path}/")
        repeats = not {"[]", "+"}.isdisjoint(marks)
        elements.append(Element(name, path, parts, repeats, always="+" in marks, optional="?" in marks, numeric="#" in marks))
    return tuple(elements)


def _leaves(elements: tuple[Element, ...]) -> frozenset[str]:
    return frozenset(path for each in elements for path in (_leaves(each.parts) if each.parts else (each.path,)))


ROOT = "ASYCUDA"
ELEMENTS = _parse(_TREE.strip().splitlines(), 0, "")
LEAVES = _leaves(ELEMENTS)


def _repeating(elements: tuple[Element, ...]) -> Iterator[str]:
    for each in elements:
        if each.repeats:
            yield each.name
        yield from _repeating(each.parts)


REPEATING = frozenset(_repeating(ELEMENTS))  # no name of these stands for another element that does not repeat


def _names(elements: tuple[Element, ...]) -> Iterator[str]:
    for each in elements:
        yield each.name
        yield from _names(each.parts)


_NAMES = frozenset(_names(ELEMENTS))
_BY_LETTERS = {name.lower(): name for name in sorted(_NAMES)}
_OTHERWISE = {
    "ai_code": "A.I._code",
    "supplementary_unit_code": "Suppplementary_unit_code",
    "supplementary_unit_name": "Suppplementary_unit_name",
    "supplementary_unit_quantity": "Suppplementary_unit_quantity",
    "deferred_payment_reference": "Deffered_payment_reference",
    "rate_of_adjustment": "Rate_of_adjustement",
    "alpha_coefficient_of_apportionment": "Alpha_coeficient_of_apportionment",
    "item_taxes_guaranteed_amount": "Item_taxes_guaranted_amount",
}


def spelled(name: str) -> str:
    """Give the name of an element as it is spelled here; versions of the system differ in capitals, and some mend a misspelling."""
    if name in _NAMES:
        return name
    letters = name.lower()
    return _BY_LETTERS.get(letters) or _OTHERWISE.get(letters, name)
