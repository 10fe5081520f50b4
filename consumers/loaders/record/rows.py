"""From a validated declaration or crossing event to the values of its rows, in the order of the tables' columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from consumers.columns import json_text
from consumers.context import ReceivedEvent
from schemas.crossing import CrossingEvent
from schemas.declarations import Declaration, Document, ExportDeclaration, ImportDeclaration, Item, TransitDeclaration

KINDS: dict[type[Declaration], str] = {ExportDeclaration: "export", ImportDeclaration: "import", TransitDeclaration: "transit"}
_EXPORT_OR_IMPORT: tuple[Any, ...] = (None, None, "[]", None, None, None, None, None, None, None)


def declaration_row(event: ReceivedEvent) -> tuple[Any, ...]:
    """One version of a declaration, for `tables.declaration`."""
    value: Declaration = event.data
    accepted = value.accepted_at
    return (
        event.id,
        value.reference,
        value.version,
        KINDS[type(value)],
        value.administration,
        value.office_code,
        value.registration_year,
        value.registration_number,
        value.message_function.value,
        value.corrects,
        value.correction_reason,
        value.registered_on,
        accepted,
        None if accepted is None else offset_minutes(accepted),
        value.local_reference,
        value.declaration_type,
        value.exporter_id,
        value.exporter_name,
        value.consignee_id,
        value.consignee_name,
        value.declarant_id,
        value.declarant_name,
        value.export_country,
        value.destination_country,
        value.border_transport_mode,
        value.inland_transport_mode,
        _list(value.vehicle_ids),
        value.vehicle_nationality,
        _list(value.inland_vehicle_ids),
        value.containerised,
        _list(value.container_numbers),
        _list(value.seal_numbers),
        value.incoterm,
        value.exit_office,
        value.entry_office,
        value.invoice_amount,
        value.invoice_currency,
        value.freight_amount,
        value.freight_currency,
        value.insurance_amount,
        value.insurance_currency,
        value.gross_mass_kg,
        value.package_count,
        value.item_count,
        _documents(value.documents),
        _documents(value.previous_documents),
        json_text(value.extensions) if value.extensions else "{}",
        *(_transit_values(value) if isinstance(value, TransitDeclaration) else _EXPORT_OR_IMPORT),
        event.content,
        event.purpose,
        event.legal_basis,
    )


def _transit_values(value: TransitDeclaration) -> tuple[Any, ...]:
    guarantee = value.guarantee
    secured = (
        (None, None, None, None) if guarantee is None else (guarantee.type_code, guarantee.reference, guarantee.amount, guarantee.currency)
    )
    return (
        value.departure_office,
        value.destination_office,
        _list(value.transit_offices),
        value.principal_id,
        value.principal_name,
        *secured,
        value.time_limit_on,
    )


def item_row(event_id: str, item: Item) -> tuple[Any, ...]:
    """One goods item, for `tables.declaration_item`."""
    return (
        event_id,
        item.number,
        item.hs_code,
        item.national_code,
        item.description,
        item.origin_country,
        item.gross_mass_kg,
        item.net_mass_kg,
        item.package_count,
        item.package_kind,
        item.supplementary_quantity,
        item.supplementary_unit,
        item.procedure_code,
        item.national_procedure,
        item.item_price,
        item.statistical_value,
        _list(item.container_numbers),
        _documents(item.documents),
        _documents(item.previous_documents),
    )


def crossing_row(event: ReceivedEvent) -> tuple[Any, ...]:
    """One crossing event, for `tables.crossing_event`."""
    value: CrossingEvent = event.data
    part = value.part_quantity
    return (
        event.id,
        value.reference,
        value.administration,
        value.office_code,
        value.event_number,
        value.kind.value,
        value.occurred_at,
        offset_minutes(value.occurred_at),
        value.declaration,
        _list(value.vehicle.plates),
        value.vehicle.nationality,
        value.vehicle.transport_mode,
        _list(value.vehicle.container_numbers),
        _list(value.vehicle.seal_numbers),
        None if value.onto_vehicle is None else value.onto_vehicle.model_dump_json(exclude_defaults=True),
        None if part is None else part.package_count,
        None if part is None else part.gross_mass_kg,
        None if part is None else part.net_mass_kg,
        json_text(list(part.item_numbers)) if part is not None else "[]",
        value.weighed_mass_kg,
        value.control_result,
        value.reason,
        json_text(value.extensions) if value.extensions else "{}",
        event.content,
        event.purpose,
        event.legal_basis,
    )


def offset_minutes(instant: datetime) -> int:
    """How far the clock of the place is ahead of UTC, in minutes."""
    offset = instant.utcoffset()
    return 0 if offset is None else round(offset.total_seconds() / 60)


def _list(values: Sequence[str]) -> str:
    return json_text(list(values)) if values else "[]"


def _documents(values: Sequence[Document]) -> str:
    return json_text([value.model_dump(mode="json", exclude_none=True) for value in values]) if values else "[]"
