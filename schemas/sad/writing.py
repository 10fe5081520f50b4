"""A declaration as a SAD XML file in ASYCUDA World's own order of elements: values by the table, everything else as a blank form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from math import ceil
from typing import Any

from lxml import etree

from schemas.declarations import Declaration, ExportDeclaration, ImportDeclaration, TransitDeclaration
from schemas.sad.elements import ELEMENTS, ROOT, Element
from schemas.sad.rules import Spelling
from schemas.sad.table import CONTAINER, CONTAINER_ITEM, CONTAINER_NUMBER, Kind, Row, rows_of

KINDS: Mapping[type[Declaration], Kind] = {
    ExportDeclaration: Kind.EXPORT,
    ImportDeclaration: Kind.IMPORT,
    TransitDeclaration: Kind.TRANSIT,
}
_ITEM, _DOCUMENT = "Item[]", "Item[]/Attached_documents[]"
_ITEMS_OF_A_FORM = 3  # the first form shows one item, each further one three

_NO_XML = re.compile("[\ufffe\uffff]")  # what else XML 1.0 cannot say, the data model does not let in

_Cells = dict[str, str]  # path to text
_Blocks = dict[str, list[tuple[_Cells, "_Blocks"]]]  # a repeated element's path to its blocks, each with what repeats in it


def write(declaration: Declaration, spelling: Spelling | None = None) -> bytes:
    """Give the declaration as the bytes of a SAD file, UTF-8, in the spelling of the system that takes it.

    What a SAD has no element for is left out: the version and what it corrects, instants, issuers of documents, offices of transit.
    Documents of the whole declaration stand with its first item, as a SAD has them nowhere else.
    """
    return write_draft(KINDS[type(declaration)], declaration.model_dump(mode="json", exclude_none=True), spelling)


def write_draft(kind: Kind, data: Mapping[str, Any], spelling: Spelling | None = None) -> bytes:
    """Do the same with data that may lack what a declaration must have, such as its registration."""
    spelled = spelling or Spelling()
    items = [_gathered(item, index, data) for index, item in enumerate(data.get("items", []))]
    header = {**layout(len(items)), **_cells(kind, "", {"kind": kind.value, "item_count": len(items) or None, **data}, spelled)}
    blocks: _Blocks = {
        CONTAINER: [(cells, {}) for cells in _containers(data)],
        _ITEM: [_item_block(kind, item, spelled) for item in items],
    }
    root = etree.Element(ROOT)
    _fill(root, ELEMENTS, header, blocks)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=False, pretty_print=True))


def _gathered(item: dict[str, Any], index: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """Give the item with what belongs to it elsewhere: its extensions, and for the first one what the header has and a SAD has not."""
    kept = data.get("extensions", {}).get("items")
    mine = kept.get(str(item["number"])) if isinstance(kept, dict) else None
    whole = {name: [*item.get(name, []), *(data.get(name, []) if index == 0 else [])] for name in ("documents", "previous_documents")}
    return {**item, **whole, "extensions": {"items": mine if isinstance(mine, dict) else {}}}


def _item_block(kind: Kind, item: dict[str, Any], spelling: Spelling) -> tuple[_Cells, _Blocks]:
    cells = _cells(kind, _ITEM, item, spelling)
    documents = [_cells(kind, _DOCUMENT, document, spelling) for document in item["documents"]]
    if documents:
        cells[f"{_ITEM}/Tarification/Attached_doc_item"] = " ".join(each[f"{_DOCUMENT}/Attached_document_code"] for each in documents)
    return cells, {_DOCUMENT: [(document, {}) for document in documents]}


def _cells(kind: Kind, group: str, data: Mapping[str, Any], spelling: Spelling) -> _Cells:
    cells: _Cells = {}
    for row in rows_of(kind, group):
        texts = row.rule.write(tuple(_value(row, name, data) for name in row.names), spelling)
        cells |= {path: text for path, text in zip(row.paths, texts, strict=True) if text is not None}
    return cells


def _value(row: Row, name: str, data: Mapping[str, Any]) -> Any:
    if row.list_field == "extensions.items[]":
        value = data["extensions"]["items"].get(name)
    elif name.startswith("extensions."):
        value = data.get("extensions", {}).get(name.removeprefix("extensions."))
    else:
        return data.get(name)
    return value if isinstance(value, str) else None  # another source's extension of that name is not ours


def _containers(data: Mapping[str, Any]) -> Iterator[_Cells]:
    told = set()
    for place, item in enumerate(data.get("items", []), start=1):
        for number in item.get("container_numbers", []):
            told.add(number)
            yield {CONTAINER_ITEM: str(place), CONTAINER_NUMBER: number}
    yield from ({CONTAINER_NUMBER: number} for number in data.get("container_numbers", []) if number not in told)


def layout(items: int) -> Mapping[str, str]:
    """What only lays out the form, for so many items, by path."""
    return {
        "Property/Forms/Number_of_the_form": "1",
        "Property/Forms/Total_number_of_forms": str(1 + ceil(max(items - 1, 0) / _ITEMS_OF_A_FORM)),
        "Property/Selected_page": "1",
    }


def _fill(parent: Any, elements: Iterable[Element], cells: _Cells, blocks: _Blocks) -> None:
    for element in elements:
        if element.repeats:
            for inner, nested in blocks.get(element.path, []):
                _fill(etree.SubElement(parent, element.name), element.parts, inner, nested)
        elif element.parts:
            _fill(etree.SubElement(parent, element.name), element.parts, cells, blocks)
        elif (text := cells.get(element.path)) is not None or not element.optional:
            _write_leaf(etree.SubElement(parent, element.name), text, element)


def _write_leaf(leaf: Any, text: str | None, element: Element) -> None:
    if text is not None:
        leaf.text = _NO_XML.sub("�", text)
    elif not element.numeric:
        etree.SubElement(leaf, "null")
