"""Self-made declarations and crossing events, valid and varied, for the demo, tests and benchmarks. Names and numbers are invented."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from schemas.names import EventType

Data = dict[str, Any]

# HS code, goods, package kind, kilograms a package, price a package in USD
_GOODS = {
    "tj": (
        ("252329", "Portland cement in bags", "BG", 50, 4),
        ("270112", "Bituminous coal in bulk bags", "BG", 1000, 70),
        ("310210", "Urea fertiliser", "BG", 50, 22),
        ("110100", "Wheat flour, first grade", "BG", 50, 19),
        ("520100", "Cotton fibre, not carded", "BL", 220, 390),
        ("760110", "Unwrought aluminium", "PX", 1000, 2300),
    ),
    "af": (
        ("080420", "Dried figs", "CT", 10, 45),
        ("080620", "Raisins, green", "CT", 10, 28),
        ("120740", "Sesame seeds", "BG", 50, 80),
        ("570110", "Carpets of wool, knotted", "RO", 30, 900),
        ("080212", "Almonds without shell", "CT", 25, 140),
        ("130190", "Asafoetida resin", "CT", 20, 1900),
    ),
}
_TRADERS = {
    "tj": ("ҶДММ Сомони Тиҷорат", "ҶСП Сементи Тоҷик", "ООО Вахш Агро", "LLC Pamir Foods"),
    "af": ("شرکت تجارتی هندوکش", "Amu Darya Trading Ltd", "کابل میوه خشک", "Balkh Carpets Co"),
}
_OFFSETS = {"tj": "+05:00", "af": "+04:30"}
_NEIGHBOUR = {"tj": "af", "af": "tj"}


def varied(administration: str, office_code: str, count: int, seed: int, *, items: int = 3) -> Iterator[tuple[EventType, Data]]:
    """Give `count` pairs of type and data of `administration` (tj or af): mostly exports, some transits, now and then electricity or a
    crossing event. The same seed gives the same ones; different seeds give different numbers. About 1 kB each with three items.
    """
    chance = random.Random(f"{administration} {office_code} {seed}")  # noqa: S311  examples, not secrets
    kinds: tuple[Callable[..., tuple[EventType, Data]], ...] = (
        (_export,) * 12 + (_transit,) * 4 + (_electricity, _crossing, _crossing, _crossing)
    )
    for index in range(count):
        number = f"{seed:04}{index:06}"
        yield chance.choice(kinds)(chance, administration, office_code, number, items)


def export(administration: str, office_code: str, number: str, *, items: int = 3) -> Data:
    """One export declaration."""
    return _export(random.Random(number), administration, office_code, number, items)[1]  # noqa: S311  examples, not secrets


def imported(administration: str, office_code: str, number: str, *, items: int = 3) -> Data:
    """One import declaration: the neighbour's goods."""
    data = _declared(random.Random(number), administration, office_code, number, items)  # noqa: S311  examples, not secrets
    neighbour = _NEIGHBOUR[administration].upper()
    return data | {"declaration_type": "IM4", "export_country": neighbour, "destination_country": administration.upper()}


def transit(administration: str, office_code: str, number: str, *, items: int = 3) -> Data:
    """One transit declaration with its guarantee."""
    return _transit(random.Random(number), administration, office_code, number, items)[1]  # noqa: S311  examples, not secrets


def electricity(administration: str, office_code: str, number: str) -> Data:
    """An export of electricity: mode 7, no vehicle."""
    return _electricity(random.Random(number), administration, office_code, number, 1)[1]  # noqa: S311  examples, not secrets


def crossing(administration: str, office_code: str, number: str, kind: str = "arrived") -> Data:
    """One crossing event of a truck at a post."""
    data = _crossing(random.Random(number), administration, office_code, number, 1)[1]  # noqa: S311  examples, not secrets
    return data | {"kind": kind}


def amendment(data: Data, version: int, reason: str = "mass corrected after weighing") -> Data:
    """A later version of a declaration."""
    return data | {"version": version, "corrects": version - 1, "message_function": "amendment", "correction_reason": reason}


def cancellation(data: Data, version: int, reason: str = "goods not exported") -> Data:
    """The cancellation of a declaration: its identity, what it cancels, and why."""
    identity = {name: data[name] for name in ("administration", "office_code", "registration_year", "registration_number")}
    return identity | {"version": version, "corrects": version - 1, "message_function": "cancellation", "correction_reason": reason}


def _export(chance: random.Random, administration: str, office: str, number: str, items: int) -> tuple[EventType, Data]:
    data = _declared(chance, administration, office, number, items)
    neighbour = _NEIGHBOUR[administration].upper()
    return EventType.EXPORT_DECLARATION, data | {
        "declaration_type": "EX1",
        "export_country": administration.upper(),
        "destination_country": neighbour,
    }


def _transit(chance: random.Random, administration: str, office: str, number: str, items: int) -> tuple[EventType, Data]:
    data = _declared(chance, administration, office, number, items)
    return EventType.TRANSIT_DECLARATION, data | {
        "declaration_type": "T1",
        "export_country": chance.choice(("KZ", "UZ", "IR", "CN")),
        "destination_country": _NEIGHBOUR[administration].upper(),
        "departure_office": office,
        "destination_office": "HRT01",
        "principal_name": data["exporter_name"],
        "guarantee": {"type_code": "1", "reference": f"G{number}", "amount": "5000.00", "currency": "USD"},
        "seal_numbers": [f"S{chance.randrange(10**6):06}"],
    }


def _electricity(chance: random.Random, administration: str, office: str, number: str, _: int) -> tuple[EventType, Data]:
    megawatt_hours = chance.randrange(1_000, 90_000)
    return EventType.EXPORT_DECLARATION, {
        **_identity(chance, administration, office, number),
        "declaration_type": "EX1",
        "exporter_name": "Barqi Kuhiston",
        "export_country": administration.upper(),
        "destination_country": _NEIGHBOUR[administration].upper(),
        "border_transport_mode": "7",
        "invoice_amount": f"{megawatt_hours * 40}.00",
        "invoice_currency": "USD",
        "item_count": 1,
        "items": [
            {
                "number": 1,
                "hs_code": "271600",
                "description": "Electrical energy",
                "origin_country": administration.upper(),
                "supplementary_quantity": str(megawatt_hours),
                "supplementary_unit": "MWH",
                "procedure_code": "1000",
            }
        ],
    }


def _crossing(chance: random.Random, administration: str, office: str, number: str, _: int) -> tuple[EventType, Data]:
    packages = chance.randrange(1, 400)
    return EventType.CROSSING_EVENT, {
        "administration": administration,
        "office_code": office,
        "event_number": number,
        "kind": chance.choice(("arrived", "presented", "released", "exited")),
        "occurred_at": _instant(chance, administration),
        "declaration_administration": administration,
        "declaration_office_code": office,
        "declaration_year": 2026,
        "declaration_number": number,
        "vehicle": {"plates": [_plate(chance, administration)], "nationality": administration.upper(), "transport_mode": "3"},
        "part_quantity": {"package_count": str(packages), "gross_mass_kg": f"{packages * 51}.0"},
    }


def _declared(chance: random.Random, administration: str, office: str, number: str, items: int) -> Data:
    goods = [_item(chance, administration, position) for position in range(1, items + 1)]
    return {
        **_identity(chance, administration, office, number),
        "exporter_id": f"{chance.randrange(10**8, 10**9)}",
        "exporter_name": chance.choice(_TRADERS[administration]),
        "consignee_name": chance.choice(_TRADERS[_NEIGHBOUR[administration]]),
        "border_transport_mode": "3",
        "vehicle_ids": [_plate(chance, administration)],
        "vehicle_nationality": administration.upper(),
        "incoterm": chance.choice(("FCA", "DAP", "CPT")),
        "invoice_amount": f"{sum(float(each['item_price']) for each in goods):.2f}",
        "invoice_currency": "USD",
        "gross_mass_kg": f"{sum(float(each['gross_mass_kg']) for each in goods):.3f}",
        "package_count": str(sum(int(each["package_count"]) for each in goods)),
        "item_count": items,
        "items": goods,
    }


def _identity(chance: random.Random, administration: str, office: str, number: str) -> Data:
    return {
        "administration": administration,
        "office_code": office,
        "registration_year": 2026,
        "registration_number": number,
        "accepted_at": _instant(chance, administration),
    }


def _item(chance: random.Random, administration: str, position: int) -> Data:
    hs_code, description, kind, mass_kg, price = chance.choice(_GOODS[administration])
    packages = chance.randrange(1, 500)
    return {
        "number": position,
        "hs_code": hs_code,
        "description": description,
        "origin_country": administration.upper(),
        "gross_mass_kg": f"{packages * mass_kg * 1.02:.3f}",
        "net_mass_kg": f"{packages * mass_kg}.000",
        "package_count": str(packages),
        "package_kind": kind,
        "procedure_code": "1000",
        "item_price": f"{packages * price}.00",
    }


def _instant(chance: random.Random, administration: str) -> str:
    day, hour, minute, second = chance.randrange(1, 29), chance.randrange(8, 18), chance.randrange(60), chance.randrange(60)
    return f"2026-10-{day:02}T{hour:02}:{minute:02}:{second:02}{_OFFSETS[administration]}"


def _plate(chance: random.Random, administration: str) -> str:
    return f"{chance.randrange(1000, 10000)}{chance.choice('ABEKMT')}{chance.choice('ABEKMT')}{'05' if administration == 'tj' else ' KBL'}"
