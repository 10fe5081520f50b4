"""The partner's export as a pre-filled import declaration: what the own declarant need not type again, nothing that only they can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.declarations import ExportDeclaration
from schemas.sad.rules import REFERENCE

# What holds on both sides of the frontier. Left for the national system and the own declarant: registration, declarant, statistical
# value (in the partner's currency), national digits of the commodity code, and what the partner's own system keeps beside.
_HEADER = (
    "exporter_id", "exporter_name", "consignee_id", "consignee_name", "export_country", "destination_country", "border_transport_mode",
    "inland_transport_mode", "vehicle_ids", "vehicle_nationality", "containerised", "container_numbers", "seal_numbers", "incoterm",
    "invoice_amount", "invoice_currency", "freight_amount", "freight_currency", "insurance_amount", "insurance_currency", "gross_mass_kg",
    "package_count", "item_count", "documents",
)  # fmt: skip
_ITEM = (
    "number", "hs_code", "description", "origin_country", "gross_mass_kg", "net_mass_kg", "package_count", "package_kind",
    "supplementary_quantity", "supplementary_unit", "item_price", "container_numbers", "documents",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prefill:
    """What the own side adds: the office that will register it, the office of entry (None: the same), type and procedure."""

    office_code: str
    entry_office: str | None = None
    declaration_type: str = "IM4"
    procedure_code: str | None = "4000"
    national_procedure: str | None = None


def prefilled_import(export: ExportDeclaration, prefill: Prefill) -> dict[str, Any]:
    """Give the data of an import declaration without registration, for `write_draft`; ValueError for a cancellation, which has no goods.

    The export's own reference (`TJ/PNJ01/2026/000417`) is the previous document of each item, so that the two can be compared later.
    """
    if not export.items:
        raise ValueError("a cancellation has no goods to declare")
    data = export.model_dump(mode="json", exclude_none=True)
    added = {"procedure_code": prefill.procedure_code, "national_procedure": prefill.national_procedure}
    previous = [{"type_code": REFERENCE, "reference": export.reference}]
    return {
        **{name: data[name] for name in _HEADER if name in data},
        "office_code": prefill.office_code,
        "entry_office": prefill.entry_office or prefill.office_code,
        "declaration_type": prefill.declaration_type,
        "items": [
            {**{name: item[name] for name in _ITEM if name in item}, **added, "previous_documents": previous} for item in data["items"]
        ],
    }
