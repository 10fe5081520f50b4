"""Small SADs made by hand, spelled as national systems spell them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from producers.formats.asycuda import FORMAT
from producers.formats.reading import Conventions, Part, ReadDeclaration, Unread

HEADER: Mapping[str, str | None] = {
    "Export_release/Date_of_exit": "",
    "Export_release/Comments": None,
    "Assessment_notice/Item_tax_total": "",
    "Property/Sad_flow": "E",
    "Property/Forms/Number_of_the_form": "1",
    "Property/Forms/Total_number_of_forms": "1",
    "Property/Nbers/Total_number_of_items": "1",
    "Property/Nbers/Total_number_of_packages": "420.0",
    "Property/Selected_page": "1",
    "Identification/Office_segment/Customs_clearance_office_code": "PNJ01",
    "Identification/Type/Type_of_declaration": "EX",
    "Identification/Type/Declaration_gen_procedure_code": "1",
    "Identification/Type/Type_of_transit_document": None,
    "Identification/Registration/Serial_number": "E",
    "Identification/Registration/Number": "417",
    "Identification/Registration/Date": "10/13/26",
    "Traders/Exporter/Exporter_name": "Vakhsh Agro\n  12, Rudaki\n  Bokhtar",
    "Traders/Consignee/Consignee_code": None,
    "Transport/Means_of_transport/Border_information/Identity": "1234AB01/5678TJ",
    "Transport/Means_of_transport/Border_information/Mode": "3",
    "Transport/Container_flag": "false",
    "Valuation/Gs_Invoice/Amount_foreign_currency": "1.0623724E7",
    "Valuation/Gs_Invoice/Currency_code": "USD",
    "Valuation/Total/Total_weight": "21500.50",
}
ITEM: Mapping[str, str | None] = {
    "Packages/Number_of_packages": "420",
    "Packages/Kind_of_packages_code": "BX",
    "Tarification/HScode/Commodity_code": "08081000",
    "Tarification/HScode/Precision_1": "00",
    "Tarification/Extended_customs_procedure": "1000",
    "Goods_description/Country_of_origin_code": "TJ",
    "Goods_description/Commercial_Description": "Apples, fresh",
    "Valuation_item/Weight_itm/Gross_weight_itm": "21500.5",
    "Valuation_item/Weight_itm/Net_weight_itm": "21000",
}
BLANK_ITEM: Mapping[str, str | None] = {**dict.fromkeys(ITEM), "Valuation_item/Total_CIF_itm": "0.0", "Valuation_item/Item_rate": "1"}
HERE = Conventions(administration="tj")


def sad(*items: Mapping[str, str | None], **changes: str | None) -> str:
    """A SAD of one item, or of these; `changes` are header elements by path with `__` for `/`. None is `<X><null/></X>`, "" is `<X/>`.

    `blocks` is XML that stands before the items.
    """
    blocks = changes.pop("blocks", None) or ""
    header = {**HEADER} | {path.replace("__", "/"): text for path, text in changes.items()}
    body = _xml(_tree(header)) + blocks + "".join(f"<Item>{_xml(_tree(item))}</Item>\n" for item in items or (ITEM,))
    return f'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<ASYCUDA>\n{body}</ASYCUDA>\n'


def item(**changes: str | None) -> dict[str, str | None]:
    """An item, with these elements changed."""
    return {**ITEM, **{path.replace("__", "/"): text for path, text in changes.items()}}


def _tree(texts: Mapping[str, str | None]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, text in texts.items():
        *above, last = path.split("/")
        node = root
        for name in above:
            node = node.setdefault(name, {})
        node[last] = text
    return root


def _xml(tree: Mapping[str, Any]) -> str:
    return "".join(f"<{name}>{_inner(inner)}</{name}>\n" if inner != "" else f"<{name}/>\n" for name, inner in tree.items())


def _inner(inner: Any) -> str:
    if isinstance(inner, dict):
        return "\n" + _xml(inner)
    return "\n<null/>\n" if inner is None else str(inner).replace("&", "&amp;").replace("<", "&lt;")


def parts(text: str | bytes, conventions: Conventions = HERE) -> list[Part]:
    """Every part of a file."""
    return list(FORMAT.read(io.BytesIO(text.encode() if isinstance(text, str) else text), conventions).parts)


def read(text: str | bytes, conventions: Conventions = HERE) -> ReadDeclaration:
    """The one declaration of a good file."""
    (part,) = parts(text, conventions)
    assert isinstance(part, ReadDeclaration), part
    return part


def refused(text: str | bytes, conventions: Conventions = HERE) -> Unread:
    """Why a file is refused."""
    (part,) = parts(text, conventions)
    assert isinstance(part, Unread), part
    return part
