"""What a schema allows and the canonical model does not: each is taken out of the data and kept under `extensions`, with a warning.

For messages whose own structure was checked: they are valid where they come from, and their declarations are taken for what can be said.
"""

from __future__ import annotations

from decimal import Decimal

from producers.formats.mapping import Filled, Target
from schemas.codelists.transport_modes import FIXED_INSTALLATION
from schemas.limits import ITEMS

DOCUMENTS = 99  # of a declaration or an item (schemas.declarations)
_LISTS = {"documents": DOCUMENTS, "previous_documents": DOCUMENTS}
_LONGEST = {"correction_reason": 500, "reason": 500, "local_reference": 60, "exporter_name": 300, "consignee_name": 300}
_MOST = {"vehicle_ids": 50, "inland_vehicle_ids": 50, "container_numbers": 999, "seal_numbers": 999, "transit_offices": 9}


def make_agree(filled: Filled) -> None:
    """Set aside what the model cannot say: contradictions, incomplete documents, what is too long or too many."""
    root = filled.root
    items = root.of("items")
    _number(items, filled)
    for target in (root, *items):
        _trim(target, filled)
        _agree_on_mass(target, filled)
    if items and root.data.get("item_count", len(items)) != len(items):
        filled.set_aside(root, "item_count", "values-differ", f"not the number of items, which is {len(items)}")
    for mode, said in (
        ("border_transport_mode", ("vehicle_ids", "vehicle_nationality")),
        ("inland_transport_mode", ("inland_vehicle_ids",)),
    ):
        if root.data.get(mode) == FIXED_INSTALLATION:
            for name in said:
                if name in root.data:
                    filled.set_aside(root, name, "values-differ", "a power line or pipeline has no vehicle")


def _number(items: list[Target], filled: Filled) -> None:
    """Item numbers rise from 1 and are unique: where those of the document do not, the places of the items are their numbers."""
    numbers = [item.data.get("number", 0) for item in items]
    if numbers == sorted(set(numbers)) and all(1 <= number <= ITEMS for number in numbers):
        return
    for place, item in enumerate(items, 1):
        if item.data.get("number") != place:
            if "number" in item.data:
                filled.set_aside(item, "number", "item-number-odd", "item numbers rise and are unique: its place in the document is taken")
            item.data["number"] = place


def _trim(target: Target, filled: Filled) -> None:
    for list_name, most in _LISTS.items():
        for count, document in enumerate(target.of(list_name), 1):
            whole = {"type_code", "reference"} <= document.data.keys()
            if whole and count <= most:
                continue
            text = f"more than {most} documents" if whole else "a document without its type or its reference"
            for name in list(document.data):
                filled.set_aside(document, name, "document-incomplete", text)
    for name, longest in _LONGEST.items():
        if len(target.data.get(name, "")) > longest:
            filled.set_aside(target, name, "values-beyond", f"longer than {longest} characters")
    for name, most in _MOST.items():
        if len(target.data.get(name, ())) > most:
            filled.set_aside(target, name, "values-beyond", f"more than {most}")


def _agree_on_mass(target: Target, filled: Filled) -> None:
    net, gross = target.data.get("net_mass_kg"), target.data.get("gross_mass_kg")
    if net is not None and gross is not None and Decimal(net) > Decimal(gross):
        filled.set_aside(target, "net_mass_kg", "values-differ", f"the net mass is above the gross mass, {gross} kg")
