"""Declarations as hypothesis makes them, within what a SAD can say."""

from __future__ import annotations

import unicodedata
from datetime import date
from typing import Any

from hypothesis import strategies as st

from schemas.codelists import COUNTRIES, CURRENCIES, incoterms, package_kinds, transport_modes
from schemas.codelists.transport_modes import FIXED_INSTALLATION

KINDS = ("export", "import", "transit")
CONTAINERS = ("MSCU9981402", "TTRU2634970", "CSQU3054383", "BMOU5213443")

_CHARACTERS = st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\ufffd")
_WORD = st.text(_CHARACTERS, min_size=1, max_size=12).map(lambda text: "x" + text)
# A SAD's texts have no runs of blanks: lines are joined, and no-break spaces are blanks.
TEXT = st.lists(_WORD, min_size=1, max_size=4).map(" ".join).filter(lambda text: unicodedata.is_normalized("NFC", text))
CODE = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9./_-]{0,18}[A-Za-z0-9])?", fullmatch=True)
OFFICE = st.from_regex(r"[A-Z0-9][A-Z0-9-]{1,10}", fullmatch=True)
PLATE = st.from_regex(r"[0-9A-Z]{2,9}( [A-Z]{1,3})?", fullmatch=True)
COUNTRY = st.sampled_from(sorted(COUNTRIES))
CURRENCY = st.sampled_from(sorted(CURRENCIES))
DAY = st.dates(min_value=date(2013, 1, 1), max_value=date(2027, 12, 31)).map(str)


def number(digits: int, places: int) -> st.SearchStrategy[str]:
    return st.decimals(0, 10**digits - 1, places=places, allow_nan=False).map(lambda value: format(value, "f"))


AMOUNT, MASS = number(14, 4), number(10, 6)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these fields, each there or not."""
    return st.fixed_dictionaries({}, optional=fields)


DOCUMENT = st.fixed_dictionaries({"type_code": CODE, "reference": TEXT}, optional={"issued_on": DAY})
# Those without a type of their own have the names of their elements; a reference that holds ; or a colon could not be told from two.
_REFERENCE = st.from_regex(r"[A-Za-z0-9/ -]{0,20}[A-Za-z0-9/-]", fullmatch=True).map(lambda text: " ".join(text.split()))
_PREVIOUS = st.fixed_dictionaries(
    {"type_code": st.from_regex(r"[A-Z0-9]{1,10}", fullmatch=True) | st.just("Previous_document_reference"), "reference": _REFERENCE}
)
PREVIOUS = st.tuples(
    st.lists(st.fixed_dictionaries({"type_code": st.just("Summary_declaration"), "reference": TEXT}), max_size=1),
    st.lists(_PREVIOUS, max_size=3),
).map(lambda both: [*both[0], *both[1]])
GUARANTEE = st.fixed_dictionaries(
    {"type_code": st.from_regex(r"[A-Z0-9]{1,8}", fullmatch=True)}, optional={"reference": CODE, "amount": AMOUNT}
)
KEPT_OF_ITEM = some(marks=TEXT, more_marks=TEXT, part_number=TEXT, preference=TEXT, licence=TEXT, free_text=TEXT)
KEPT = some(
    declarant_representative=TEXT,
    manifest_reference=TEXT,
    delivery_place=TEXT,
    goods_location=TEXT,
    payment_mode=TEXT,
    asycuda=some(
        **{
            "Transport/Border_office/Name": TEXT,
            "Valuation/Total_CIF": AMOUNT,
            "Item[1]/Taxation/Taxation_line[2]/Duty_tax_code": TEXT,
            "Item[1]/Tarification/Supplementary_unit[3]/Suppplementary_unit_code": TEXT,
            "Supplier_documents[1]/Invoice_supplier_city": TEXT,
        }
    ).filter(bool),
)

ITEM: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"hs_code": st.from_regex(r"[0-9]{6}", fullmatch=True)},
    optional={
        "national_code": st.from_regex(r"[0-9A-Z]{1,8}", fullmatch=True),
        "description": TEXT,
        "origin_country": COUNTRY,
        "package_count": MASS,
        "package_kind": st.sampled_from(sorted(package_kinds.CODES)),
        "supplementary_quantity": MASS,
        "supplementary_unit": CODE,
        "procedure_code": st.from_regex(r"[0-9A-Z]{2,7}", fullmatch=True),
        "national_procedure": CODE,
        "item_price": AMOUNT,
        "statistical_value": AMOUNT,
        "documents": st.lists(DOCUMENT, min_size=1, max_size=3),
        "previous_documents": PREVIOUS.filter(bool),
    },
)
HEADER = some(
    registered_on=DAY,
    local_reference=TEXT,
    exporter_id=CODE,
    exporter_name=TEXT,
    consignee_id=CODE,
    consignee_name=TEXT,
    declarant_id=CODE,
    declarant_name=TEXT,
    export_country=COUNTRY,
    destination_country=COUNTRY,
    border_transport_mode=st.sampled_from(sorted(transport_modes.CODES - {FIXED_INSTALLATION})),
    inland_transport_mode=st.sampled_from(sorted(transport_modes.CODES - {FIXED_INSTALLATION})),
    vehicle_ids=st.lists(PLATE, min_size=1, max_size=3),
    vehicle_nationality=COUNTRY,
    inland_vehicle_ids=st.lists(PLATE, min_size=1, max_size=3),
    containerised=st.booleans(),
    seal_numbers=st.lists(PLATE, min_size=1, max_size=4),
    incoterm=st.sampled_from(sorted(incoterms.CODES)),
    invoice_amount=AMOUNT,
    invoice_currency=CURRENCY,
    freight_amount=AMOUNT,
    freight_currency=CURRENCY,
    insurance_amount=AMOUNT,
    insurance_currency=CURRENCY,
    gross_mass_kg=MASS,
    package_count=MASS,
)
OF_KIND = {
    "export": some(exit_office=OFFICE, declaration_type=st.from_regex(r"EX[0-9]", fullmatch=True)),
    "import": some(entry_office=OFFICE, declaration_type=st.from_regex(r"IM[0-9]", fullmatch=True)),
    "transit": st.fixed_dictionaries(
        {"declaration_type": st.sampled_from(["T1", "T2", "TIR"])},  # what makes a SAD of no flow a transit
        optional={
            "exit_office": OFFICE,
            "principal_id": CODE,
            "principal_name": TEXT,
            "destination_office": OFFICE,
            "time_limit_on": DAY,
            "guarantee": GUARANTEE,
        },
    ),
}


@st.composite
def declarations(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A type and its data, as a SAD can say them."""
    kind = draw(st.sampled_from(KINDS))
    items = draw(st.lists(ITEM, min_size=1, max_size=4))
    containers = draw(st.lists(st.sampled_from(CONTAINERS), unique=True, max_size=4))
    for place, item in enumerate(items, start=1):
        item["number"] = place
        masses = sorted((draw(MASS), draw(MASS)), key=float)
        item.update(draw(st.sampled_from([{}, {"net_mass_kg": masses[0], "gross_mass_kg": masses[1]}, {"gross_mass_kg": masses[1]}])))
        mine = draw(st.sets(st.sampled_from(CONTAINERS)))
        if found := [each for each in containers if each in mine]:
            item["container_numbers"] = found
    kept = draw(KEPT)
    if of_items := {str(place): told for place, told in enumerate(draw(st.lists(KEPT_OF_ITEM, max_size=len(items))), start=1) if told}:
        kept = {**kept, "items": of_items}
    data = {
        "administration": "tj",
        "office_code": draw(OFFICE),
        "registration_year": draw(st.integers(1990, 2199)),
        "registration_number": draw(CODE.filter(lambda text: " " not in text)),
        **draw(HEADER),
        **draw(OF_KIND[kind]),
        "item_count": len(items),
        "items": items,
        **({"container_numbers": containers} if containers else {}),
        **({"extensions": kept} if kept else {}),
    }
    return f"customs.{kind}-declaration.v1", data
