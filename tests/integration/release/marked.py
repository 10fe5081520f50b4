"""Declarations and crossing events in which every field has a value of its own, so that wherever one turns up, it is known which it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from stdnum import iso6346

from schemas.names import EventType

EXPORT, IMPORT = EventType.EXPORT_DECLARATION.value, EventType.IMPORT_DECLARATION.value
TRANSIT, CROSSING = EventType.TRANSIT_DECLARATION.value, EventType.CROSSING_EVENT.value

_CONTAINERS = tuple(f"{serial}{iso6346.calc_check_digit(serial)}" for serial in ("CSQU305438", "TASU117000", "MSCU663987", "TGHU278543"))
_numbers = count(10_001)


def word(kind: str = "Q") -> str:
    """A word that stands nowhere else: `QZX10017`."""
    return f"{kind}ZX{next(_numbers)}"


def number() -> str:
    """A number that stands nowhere else: `9610017.25`."""
    return f"96{next(_numbers)}.25"


def _more() -> str:
    """A number above all of those, that stands nowhere else either."""
    return f"98{next(_numbers)}.5"


def _document() -> dict[str, Any]:
    return {"type_code": word(), "reference": word(), "issued_on": "2031-05-06", "issuer": word()}


def _item(place: int) -> dict[str, Any]:
    return {
        "number": place,
        "hs_code": f"0812{place:02}",
        "national_code": f"77{next(_numbers)}"[:8],
        "description": word(),
        "origin_country": "UY",
        "gross_mass_kg": _more(),
        "net_mass_kg": number(),
        "package_count": number(),
        "package_kind": "PX",
        "supplementary_quantity": number(),
        "supplementary_unit": word(),
        "procedure_code": f"{next(_numbers)}9"[:7],
        "national_procedure": word(),
        "item_price": number(),
        "statistical_value": number(),
        "container_numbers": [_CONTAINERS[3]],
        "documents": [_document()],
        "previous_documents": [_document()],
    }


def _declaration(items: int) -> dict[str, Any]:
    return {
        "administration": "tj",
        "office_code": "TJ105000",
        "registration_year": 2026,
        "registration_number": word("R"),
        "version": 2,
        "message_function": "amendment",
        "corrects": 1,
        "correction_reason": word(),
        "registered_on": "2031-01-02",
        "accepted_at": "2031-01-02T03:04:05+05:00",
        "local_reference": word(),
        "declaration_type": word(),
        "exporter_id": word(),
        "exporter_name": word("Ҷ"),
        "consignee_id": word(),
        "consignee_name": word("ش"),
        "declarant_id": word(),
        "declarant_name": word(),
        "export_country": "TJ",
        "destination_country": "AF",
        "border_transport_mode": "3",
        "inland_transport_mode": "2",
        "vehicle_ids": [word(), word()],
        "vehicle_nationality": "KG",
        "inland_vehicle_ids": [word()],
        "containerised": True,
        "container_numbers": list(_CONTAINERS[:2]),
        "seal_numbers": [word()],
        "incoterm": "DAP",
        "exit_office": word("E"),
        "entry_office": word("E"),
        "invoice_amount": number(),
        "invoice_currency": "USD",
        "freight_amount": number(),
        "freight_currency": "EUR",
        "insurance_amount": number(),
        "insurance_currency": "CHF",
        "gross_mass_kg": number(),
        "package_count": number(),
        "item_count": items,
        "items": [_item(place) for place in range(1, items + 1)],
        "documents": [_document()],
        "previous_documents": [_document()],
        "extensions": {"own": word(), "deep": {"inner": word(), "listed": [word(), 7]}},
    }


def _transit(items: int) -> dict[str, Any]:
    return {
        **_declaration(items),
        "departure_office": word("D"),
        "destination_office": word("D"),
        "transit_offices": [word("T")],
        "principal_id": word(),
        "principal_name": word(),
        "guarantee": {"type_code": word(), "reference": word(), "amount": number(), "currency": "JPY"},
        "time_limit_on": "2031-07-08",
    }


def _vehicle() -> dict[str, Any]:
    return {
        "plates": [word()],
        "nationality": "KG",
        "transport_mode": "3",
        "container_numbers": [_CONTAINERS[2]],
        "seal_numbers": [word()],
    }


def _crossing() -> dict[str, Any]:
    return {
        "administration": "tj",
        "office_code": "TJ105000",
        "event_number": word("X"),
        "kind": "transshipped",
        "occurred_at": "2031-02-03T04:05:06+05:00",
        "declaration_administration": "tj",
        "declaration_office_code": "TJ105000",
        "declaration_year": 2026,
        "declaration_number": word("R"),
        "vehicle": _vehicle(),
        "onto_vehicle": _vehicle(),
        "part_quantity": {"package_count": number(), "gross_mass_kg": _more(), "net_mass_kg": number(), "item_numbers": [1]},
        "weighed_mass_kg": number(),
        "control_result": word(),
        "reason": word(),
        "extensions": {"own": word()},
    }


def marked(event_type: str, items: int = 2) -> dict[str, Any]:
    """The data of one event with every field that its type has."""
    if event_type == CROSSING:
        return _crossing()
    return _transit(items) if event_type == TRANSIT else _declaration(items)


def leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value with its dotted path, without the places in lists: `items.documents.issuer`."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from leaves(value, f"{path}.{name}" if path else name)
    elif isinstance(data, list):
        for value in data:
            yield from leaves(value, path)
    else:
        yield path, data


_MARKER = re.compile(r"\wZX[0-9]{5,}|(?:96|98)[0-9]{5,}\.[0-9]+|77[0-9]{5,6}")


def is_marker(value: Any) -> bool:
    """Whether a value stands nowhere but in its own field, and is long enough not to turn up by chance."""
    return isinstance(value, str) and _MARKER.fullmatch(value) is not None


def markers_in(text: str) -> set[str]:
    """All markers that stand in a text."""
    return set(_MARKER.findall(text))
