"""What a schema allows and the canonical model does not: each is taken out of the data and kept under `extensions`, with a warning.

For messages whose own structure was checked: they are valid where they come from, and their declarations are taken for what can be said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from producers.formats.filling import Filled, Target, within
from schemas.codelists.transport_modes import FIXED_INSTALLATION
from schemas.limits import ITEMS

_DOCUMENTS = {"documents": 99, "previous_documents": 99}  # the bounds of schemas.declarations and schemas.crossing
_LONGEST = {
    "correction_reason": 500,
    "reason": 500,
    "local_reference": 60,
    "exporter_name": 300,
    "consignee_name": 300,
    "principal_name": 300,
}
_FORMS = {"procedure_code": re.compile(r"[0-9A-Z]{2,7}"), "national_code": re.compile(r"[0-9A-Z]{1,8}")}
_MOST = {
    "vehicle_ids": 50,
    "inland_vehicle_ids": 50,
    "container_numbers": 99,
    "seal_numbers": 999,
    "transit_offices": 9,
    "vehicle.plates": 9,
    "vehicle.container_numbers": 20,
    "vehicle.seal_numbers": 99,
}
_MOST_OF_DECLARATION = {"container_numbers": 999}
_NEEDLESS = {
    "border_transport_mode": ("vehicle_ids", "vehicle_nationality"),
    "inland_transport_mode": ("inland_vehicle_ids",),
    "vehicle.transport_mode": ("vehicle.plates", "vehicle.nationality"),
}


def make_agree(filled: Filled) -> None:
    """Set aside what the model cannot say: contradictions, incomplete documents, what is too long or too many."""
    root = filled.root
    items = root.of("items")
    _number(items, filled)
    _trim(root, filled, _MOST | _MOST_OF_DECLARATION)
    for item in items:
        _trim(item, filled, _MOST)
        _agree_on_mass(item, filled)
    if items and root.data.get("item_count", len(items)) != len(items):
        filled.set_aside(root, "item_count", "count-differs", f"not the number of items, which is {len(items)}")
    for mode, said in _NEEDLESS.items():
        for name in said if value_of(root, mode) == FIXED_INSTALLATION else ():
            if value_of(root, name):
                filled.set_aside(root, name, "vehicle-odd", "a power line or pipeline has no vehicle")


def value_of(target: Target, name: str) -> Any:
    """The value of a field by its dotted name; None where it is not there."""
    value: Any = target.data
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def agree_on_party(filled: Filled, number: str, name: str) -> None:
    """The number of one party is not set beside the name of another: then the name is set aside."""
    leaves = filled.root.leaves
    if number in leaves and name in leaves and len({within(leaves[each][0]) for each in (number, name)}) > 1:
        filled.set_aside(filled.root, name, "values-differ", "of another party than the number beside it")


def _number(items: list[Target], filled: Filled) -> None:
    """Item numbers rise from 1 and are unique: where those of the document are not, the places of the items are their numbers."""
    numbers = [item.data.get("number", 0) for item in items]
    if len(set(numbers)) == len(numbers) and all(1 <= number <= ITEMS for number in numbers):
        filled.root.children.sort(key=lambda child: child.data.get("number", 0) if child.list_name == "items" else 0)
        return
    for place, item in enumerate(items, 1):
        if item.data.get("number") != place:
            if "number" in item.data:
                filled.set_aside(item, "number", "item-number-odd", "item numbers are unique, from 1: its place in the document is taken")
            item.data["number"] = place


def _trim(target: Target, filled: Filled, most: Mapping[str, int]) -> None:
    for list_name, documents in _DOCUMENTS.items():
        for count, document in enumerate(target.of(list_name), 1):
            whole = {"type_code", "reference"} <= document.data.keys()
            if whole and count <= documents:
                continue
            code = "values-beyond" if whole else "document-incomplete"
            filled.warn(code, f"more than {documents}" if whole else "without its type or its reference", place=document.place)
            document.drop_all()
    for name, longest in _LONGEST.items():
        if len(target.data.get(name, "")) > longest:
            filled.set_aside(target, name, "values-beyond", f"longer than {longest} characters")
    for name, form in _FORMS.items():
        if name in target.data and not form.fullmatch(target.data[name]):
            filled.set_aside(target, name, "code-odd", "not digits and capitals, or too many")
    for name, values in most.items():
        if len(value_of(target, name) or ()) > values:
            filled.set_aside(target, name, "values-beyond", f"more than {values}")


def _agree_on_mass(target: Target, filled: Filled) -> None:
    net, gross = target.data.get("net_mass_kg"), target.data.get("gross_mass_kg")
    if net is not None and gross is not None and Decimal(net) > Decimal(gross):
        filled.set_aside(target, "net_mass_kg", "net-above-gross", f"the net mass is above the gross mass, {gross} kg")
