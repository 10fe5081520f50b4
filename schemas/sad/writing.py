"""A declaration as a SAD XML file in ASYCUDA World's own order of elements: values by the table, everything else as a blank form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from lxml import etree

from schemas.declarations import Declaration, ExportDeclaration, ImportDeclaration, TransitDeclaration
from schemas.sad.elements import ELEMENTS, ROOT, Element
from schemas.sad.kept import NOTHING, Kept, kept_of
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


@dataclass(slots=True)
class _Block:
    """What is written in one element of those that repeat, or in the whole form.

    `blocks` are those that repeat in it, by path; `otherwise` is written where neither the data nor what was kept beside it says more.
    """

    cells: _Cells
    blocks: dict[str, list[_Block]] = field(default_factory=dict)
    otherwise: Mapping[str, str] = field(default_factory=dict)


def write(declaration: Declaration, spelling: Spelling | None = None) -> bytes:
    """Give the declaration as the bytes of a SAD file, UTF-8, in the spelling of the system that takes it.

    What a SAD has no element for is left out: the version and what it corrects, instants, issuers of documents, offices of transit.
    Documents of the whole declaration stand with its first item, as a SAD has them nowhere else.
    """
    return write_draft(KINDS[type(declaration)], declaration.model_dump(mode="json", exclude_none=True), spelling)


def write_draft(kind: Kind, data: Mapping[str, Any], spelling: Spelling | None = None) -> bytes:
    """Do the same with data that may lack what a declaration must have, such as its registration.

    What was kept beside the data when it was read from a SAD (`extensions.asycuda`) is written back where it stood.
    """
    spelled = spelling or Spelling()
    items = [_gathered(item, index, data) for index, item in enumerate(data.get("items", []))]
    form = _Block(
        _cells(kind, "", {"kind": kind.value, **data}, spelled),
        {CONTAINER: list(_containers(data)), _ITEM: [_item_block(kind, item, spelled) for item in items]},
        {path: text for path, text in layout(data).items() if not path.startswith("Item[")},
    )
    kept = kept_of(data.get("extensions", {}).get("asycuda"))
    root = etree.Element(ROOT, kept.attributes)
    _fill(root, ELEMENTS, form, kept)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=False, pretty_print=True))


def layout(data: Mapping[str, Any]) -> dict[str, str]:
    """What is written although no field says it, as it only lays out the form or follows from its other parts; by path."""
    items = data.get("items", [])
    laid = {
        "Property/Forms/Number_of_the_form": "1",
        "Property/Forms/Total_number_of_forms": str(1 + ceil(max(len(items) - 1, 0) / _ITEMS_OF_A_FORM)),
        "Property/Selected_page": "1",
    }
    if items:
        laid["Property/Nbers/Total_number_of_items"] = str(len(items))
    for index, item in enumerate(items):
        if codes := _codes(_gathered(item, index, data)["documents"]):
            laid[f"Item[{index + 1}]{_CODES}"] = codes
    return laid


_CODES = "/Tarification/Attached_doc_item"


def _codes(documents: Iterable[Mapping[str, Any]]) -> str:
    return " ".join(str(each.get("type_code")) for each in documents)


def container_blocks(data: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    """Give each container with the place of its item, from 1, in the order of writing: once for every item of it, or for none.

    They follow the declaration's own list; those that only an item names come after it.
    """
    places: dict[str, list[int]] = {number: [] for number in data.get("container_numbers", [])}
    for place, item in enumerate(data.get("items", []), start=1):
        for number in item.get("container_numbers", []):
            places.setdefault(number, []).append(place)
    for number, found in places.items():
        if not found:
            yield number, None
        yield from ((number, place) for place in found)


def _gathered(item: Mapping[str, Any], index: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """Give the item with what belongs to it elsewhere: its extensions, and for the first one what the header has and a SAD has not."""
    kept = data.get("extensions", {}).get("items")
    mine = kept.get(str(item["number"])) if isinstance(kept, dict) else None
    whole = {name: [*item.get(name, []), *(data.get(name, []) if index == 0 else [])] for name in ("documents", "previous_documents")}
    return {**item, **whole, "extensions": {"items": mine if isinstance(mine, dict) else {}}}


def _item_block(kind: Kind, item: dict[str, Any], spelling: Spelling) -> _Block:
    documents = [_Block(_cells(kind, _DOCUMENT, document, spelling)) for document in item["documents"]]
    codes = " ".join(each.cells[f"{_DOCUMENT}/Attached_document_code"] for each in documents)
    return _Block(_cells(kind, _ITEM, item, spelling), {_DOCUMENT: documents}, {f"{_ITEM}{_CODES}": codes} if codes else {})


def _containers(data: Mapping[str, Any]) -> Iterator[_Block]:
    for number, place in container_blocks(data):
        yield _Block({CONTAINER_NUMBER: number} if place is None else {CONTAINER_ITEM: str(place), CONTAINER_NUMBER: number})


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


def _fill(parent: Any, elements: Iterable[Element], block: _Block, kept: Kept) -> None:
    for element in elements:
        known = kept.parts.get(element.name, {})
        if not element.repeats:
            _write(parent, element, block, known.get(1, NOTHING))
        elif element.always:
            for place in range(1, max(1, kept.last(element.name)) + 1):
                _write(parent, element, block if place == 1 else _Block({}), known.get(place, NOTHING))
        else:
            blocks = block.blocks.get(element.path, [])
            for place in range(1, max(len(blocks), kept.last(element.name, len(blocks))) + 1):
                _write(parent, element, blocks[place - 1] if place <= len(blocks) else _Block({}), known.get(place, NOTHING))


def _write(parent: Any, element: Element, block: _Block, kept: Kept) -> None:
    if element.parts:
        if kept is not NOTHING or not element.optional:
            _fill(etree.SubElement(parent, element.name, kept.attributes), element.parts, block, kept)
        return
    text = block.cells.get(element.path) or kept.text or block.otherwise.get(element.path)
    if text is None and element.optional and kept is NOTHING:
        return
    leaf = etree.SubElement(parent, element.name, kept.attributes)
    if text is not None:
        leaf.text = _NO_XML.sub("�", text)
    elif not element.numeric:
        etree.SubElement(leaf, "null")
