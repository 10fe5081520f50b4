"""ASYCUDA World: the Single Administrative Document (SAD) as XML, as its client exports it and as other programs imitate it.

Which element is which field stands in `schemas.sad.TABLE`, for reading and writing, and by which rule each is read in `asycuda_rows`. Here
stands what no row can say: which declaration it is, which items are real, and what belongs together over several elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO

from lxml import etree

from producers.formats.asycuda_rows import KEPT, describe, mapping_of
from producers.formats.filling import Filled, Target, gather
from producers.formats.leaves import Names, leaves_of
from producers.formats.reading import Conventions, Described, Part, Place, ReadDeclaration, Reading, Unread
from producers.formats.xml import documents, elements_in
from schemas import sad
from schemas.codelists.transport_modes import FIXED_INSTALLATION
from schemas.errors import ContentError
from schemas.names import EventType
from schemas.sad import Kind
from schemas.sad.elements import REPEATING, ROOT, spelled
from schemas.sad.rules import REFERENCE, SUMMARY

_TYPES = {
    Kind.EXPORT: EventType.EXPORT_DECLARATION,
    Kind.IMPORT: EventType.IMPORT_DECLARATION,
    Kind.TRANSIT: EventType.TRANSIT_DECLARATION,
}
_ROOTS = frozenset({ROOT, ROOT.title(), ROOT.lower()})


class Asycuda:
    """SAD XML, read and written."""

    name = "asycuda"
    ending = ".xml"
    title = "ASYCUDA World: SAD as XML"

    def recognises(self, head: bytes) -> bool:
        """Whether a SAD begins in it, perhaps within an envelope."""
        return any(name in _ROOTS for name in elements_in(head))

    def read(self, stream: BinaryIO, conventions: Conventions) -> Reading:
        """Read every SAD of a file, each with all of its items; blank forms and what is no SAD come as `Unread`."""
        return Reading(_parts(stream, conventions), tells_its_end=True)

    def write(self, event_type: str, data: dict[str, Any], conventions: Conventions) -> bytes:
        """Write a declaration, whole or a draft, with dates and local codes as the system has them that takes it.

        ContentError `format-cannot-say` for crossing events, which a SAD does not know.
        """
        kind = next((kind for kind, known in _TYPES.items() if known == event_type), None)
        if kind is None:
            raise ContentError("format-cannot-say", "a SAD is a declaration, and no crossing event", field="type", value=event_type)
        return sad.write_draft(kind, data, sad.Spelling(conventions.date_order or "mdy", conventions.codes))

    def describe(self) -> tuple[Described, ...]:
        """The table of the SAD, and what stands beside it."""
        return describe()


_NAMES = Names(spelled, REPEATING)


def _parts(stream: BinaryIO, conventions: Conventions) -> Iterator[Part]:
    nothing = True
    for document in documents(stream, _ROOTS):
        nothing = False
        yield document if isinstance(document, Unread) else _read(document, conventions)
    if nothing:
        yield Unread.of(ContentError("form-blank", f"there is no element {ROOT} in it").problems)


def _read(document: etree._Element, conventions: Conventions) -> Part:
    kind, contradiction = _kind_of(document)
    mapping = mapping_of(kind or Kind.IMPORT)
    data = {"administration": conventions.administration} if conventions.administration else {}
    said, root = leaves_of(document, mapping, data, _NAMES)
    filled = mapping.fill(said, root, conventions)
    if not any(_says_goods(item) for item in root.of("items")):
        text = "no item of it says what goods it is about, neither by code nor in words: a blank form, or a part of one"
        return Unread.of(ContentError("form-blank", text).problems, document.sourceline)
    if contradiction:
        filled.refuse("rule-broken", contradiction, field="Property/Sad_flow", place=Place("Property/Sad_flow", document.sourceline))
    _finish(filled, kind or Kind.IMPORT, conventions)
    if filled.problems:
        return Unread(tuple(filled.problems), document.sourceline)
    return ReadDeclaration(_TYPES[kind or Kind.IMPORT], root.data, document.sourceline, root.places().of, tuple(filled.warnings))


# -- Which declaration it is


def _kind_of(document: etree._Element) -> tuple[Kind | None, str | None]:
    """Tell an export, import or transit by flow and type; where both are blank, by the procedure of the items. Or why not."""
    flow, declared, procedure, transit = (
        (_text_at(document, path) or "").upper()
        for path in (
            ("Property", "Sad_flow"),
            ("Identification", "Type", "Type_of_declaration"),
            ("Identification", "Type", "Declaration_gen_procedure_code"),
            ("Identification", "Type", "Type_of_transit_document"),
        )
    )
    typed = _TYPES_OF_FLOW.get(declared[:2])
    if declared.startswith("T") or (typed is None and procedure == "8") or (transit and not declared):
        return Kind.TRANSIT, None
    told = {_FLOWS.get(flow), typed} - {None}
    if not told:
        told = {_PROCEDURES.get((_text_at(item, _PROCEDURE) or "")[:1]) for item in document.iterfind("{*}Item")} - {None}
    if len(told) == 1:
        return told.pop(), None
    if told:
        return None, f"the flow is {flow or 'blank'} and the type {declared or 'blank'}: an export or an import?"
    return None, "neither the flow (E or I) nor the type (EX, IM, T) says what declaration it is"


_FLOWS = {"E": Kind.EXPORT, "I": Kind.IMPORT}
_TYPES_OF_FLOW = {"EX": Kind.EXPORT, "IM": Kind.IMPORT}
_PROCEDURE = ("Tarification", "Extended_customs_procedure")
# Box 37, first digit, the same wherever the SAD is used: 1 export for good, 2 for a time, 3 again; 4 home use, 5 for a time, 6 again,
# 7 warehousing; 8 transit.
_PROCEDURES = dict.fromkeys("123", Kind.EXPORT) | dict.fromkeys("4567", Kind.IMPORT) | {"8": Kind.TRANSIT}


def _text_at(element: etree._Element, path: tuple[str, ...]) -> str | None:
    found = element.find("/".join(f"{{*}}{name}" for name in path))
    return None if found is None else (found.text or "").strip() or None


# -- What no row can say


def _says_goods(item: Target) -> bool:
    return "hs_code" in item.data or "description" in item.data


def _finish(filled: Filled, kind: Kind, conventions: Conventions) -> None:
    root = filled.root
    places = [child for child in root.children if child.list_name == "items"]  # as they stand in the file, blank ones among them
    for item in places:
        if _says_goods(item):
            _finish_item(filled, item)
        else:
            _leave_out(filled, item)
    items = root.of("items")
    for number, item in enumerate(items, start=1):
        item.data["number"] = number
        if kept := _named(item.notes):
            root.data.setdefault("extensions", {}).setdefault("items", {})[str(number)] = kept
    _registration(root)
    _containers(root, places)
    if kind is Kind.TRANSIT:
        _guarantee(root)
    if "office_code" not in root.data and conventions.office:
        root.data["office_code"] = conventions.office
    _set_aside_what_contradicts(filled, len(items))
    gather(root)
    _order_containers(root)
    if kept := _kept(filled):
        root.data.setdefault("extensions", {})["asycuda"] = kept
        text = "values that no field says are kept under extensions.asycuda"
        filled.warn("values-kept", f"{len(kept):,} {text}", value=len(kept), place=root.place)


def _set_aside_what_contradicts(filled: Filled, items: int) -> None:
    root = filled.root
    if root.data.get("item_count", items) != items:
        filled.set_aside(root, "item_count", "count-differs", f"there are {items} items in it")
    for mode, names in _VEHICLES.items():
        for name in names if root.data.get(mode) == FIXED_INSTALLATION else ():
            if name in root.data:
                filled.set_aside(root, name, "vehicle-odd", f"{mode} 7 is a power line or pipeline, which is no vehicle")


_VEHICLES = {
    "border_transport_mode": ("vehicle_ids", "vehicle_nationality"),
    "inland_transport_mode": ("inland_vehicle_ids",),
}


def _named(notes: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(KEPT): value for name, value in notes.items() if name.startswith(KEPT)}


def _finish_item(filled: Filled, item: Target) -> None:
    data = item.data
    for document in item.of("documents"):
        if not {"type_code", "reference"} <= document.data.keys():
            place = document.place
            document.drop_all()
            filled.warn("document-incomplete", "an attached document without its code or its reference", place=place)
    previous = _previous(item.notes)
    if any(len(each["reference"]) > _REFERENCE_CHARACTERS for each in previous):
        filled.set_aside(item, ".previous", "code-odd", f"a reference is at most {_REFERENCE_CHARACTERS} characters")
        previous = _previous(item.notes)
    if previous:
        data["previous_documents"] = previous
        item.leaves["previous_documents"] = item.leaves.get(".previous") or item.leaves[".summary"]
    if len(data.get("national_code", "")) > _NATIONAL_CHARACTERS:
        filled.set_aside(item, "national_code", "code-odd", f"more than {_NATIONAL_CHARACTERS} characters behind the first six digits")
    if _above(data.get("net_mass_kg"), data.get("gross_mass_kg")):
        filled.set_aside(item, "net_mass_kg", "net-above-gross", f"above the gross mass, {data['gross_mass_kg']} kg")


_REFERENCE_CHARACTERS = 140
_NATIONAL_CHARACTERS = 8
_TYPED = re.compile(r"([A-Z0-9]{1,10}):(\S.*)", re.DOTALL)


def _above(net: str | None, gross: str | None) -> bool:
    return net is not None and gross is not None and Decimal(net) > Decimal(gross)


def _previous(notes: dict[str, Any]) -> list[dict[str, str]]:
    found = [{"type_code": SUMMARY, "reference": notes[".summary"]}] if ".summary" in notes else []
    for part in filter(None, (part.strip() for part in notes.get(".previous", "").split(";"))):
        typed = _TYPED.fullmatch(part)
        found.append({"type_code": typed[1] if typed else REFERENCE, "reference": typed[2] if typed else part})
    return found


def _leave_out(filled: Filled, item: Target) -> None:
    """Leave an item without goods out: a blank one for good; of one that says something else, all of it is kept beside the data."""
    item.drop_all()
    said = [leaf for _, leaf in item.texts_kept() if not _BLANK.fullmatch(leaf.text.strip())]
    if said:
        filled.warn("item-blank", f"an item that does not say what goods it is about; {len(said)} values of it are kept", place=item.place)
    else:
        filled.root.children.remove(item)


_BLANK = re.compile(r"[01.+-]*|false")  # the sums and rates that the client fills in by itself


def _registration(root: Target) -> None:
    notes, day = root.notes, root.data.get("registered_on")
    if ".number" not in notes:
        root.drop(".serial")
    else:
        root.data["registration_number"] = f"{notes.get('.serial', '')}{notes['.number']}"
        root.leaves["registration_number"] = root.leaves[".number"]
    if ".year" in notes:
        root.data["registration_year"] = notes[".year"]
    elif day is not None:
        root.data["registration_year"] = int(day[:4])


def _containers(root: Target, places: list[Target]) -> None:
    """Give each container to the declaration and to the item whose place in the file it tells."""
    numbers: list[str] = []
    blocks: set[tuple[str, int]] = set()
    for block in root.of(".containers"):
        number, place = block.data.get("number"), block.data.get("item", 0)
        if number is None or (number, place) in blocks:
            block.drop_all()
            continue
        blocks.add((number, place))
        if number not in numbers:
            numbers.append(number)
        item = places[place - 1] if 0 < place <= len(places) and places[place - 1].data else None
        if item is None:
            block.drop("item")
        else:
            item.data.setdefault("container_numbers", []).append(number)
            block.data["item"] = item.data["number"]
    if numbers:
        root.data["container_numbers"] = numbers


def _order_containers(root: Target) -> None:
    """Bring the containers into the order in which they are written, so that what is kept of each has its place there."""
    order = {block: place for place, block in enumerate(sad.container_blocks(root.data))}
    root.children.sort(key=lambda child: order.get((child.data.get("number", ""), child.data.get("item")), 0))


def _guarantee(root: Target) -> None:
    kind, _, reference = root.notes.get(".guarantee", "").partition(":")
    if not kind.strip():
        root.drop("guarantee.amount")
        root.data.pop("guarantee", None)
        return
    told = {"type_code": kind.strip(), "reference": reference.strip()}
    root.data["guarantee"] = {name: text for name, text in told.items() if text} | root.data.get("guarantee", {})


def _kept(filled: Filled) -> dict[str, str]:
    """What no field says, without what only lays out the form and would be written the same again."""
    kept = filled.extensions()
    for path, text in sad.layout(filled.root.data).items():
        if kept.get(path) == text:
            del kept[path]
    return kept


FORMAT = Asycuda()
