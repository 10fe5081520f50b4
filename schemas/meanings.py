"""What each field of the data model is, in a few words: for people who decide what leaves (`panj release show`).

Where a field stands in a SAD and in a WCO declaration is told in docs/data-model.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from schemas.crossing import CrossingEvent, PartQuantity, Vehicle
from schemas.declarations import Declaration, Document, Guarantee, Item, TransitDeclaration

MEANINGS: Mapping[type[BaseModel], Mapping[str, str]] = {
    Declaration: {
        "administration": "the customs administration that registered it",
        "office_code": "the office that registered it",
        "registration_year": "the year of its registration",
        "registration_number": "its number in that year and office",
        "version": "which version of it this is, from 1",
        "message_function": "original, amendment or cancellation",
        "corrects": "the version that this one corrects",
        "correction_reason": "why it was corrected or cancelled",
        "registered_on": "the day of its registration",
        "accepted_at": "when it was accepted",
        "local_reference": "the declarant's own reference",
        "declaration_type": "its type, such as EX1",
        "exporter_id": "the exporter's tax or register number",
        "exporter_name": "the exporter's name",
        "consignee_id": "the consignee's tax or register number",
        "consignee_name": "the consignee's name",
        "declarant_id": "the declarant's or broker's number",
        "declarant_name": "the declarant's or broker's name",
        "export_country": "the country that the goods leave from",
        "destination_country": "the country that they go to",
        "border_transport_mode": "how they cross the border: road, rail, power line, …",
        "inland_transport_mode": "how they travel inland",
        "vehicle_ids": "plates of what crosses the border",
        "vehicle_nationality": "where that vehicle is registered",
        "inland_vehicle_ids": "plates of what brings them to the border",
        "containerised": "whether they travel in containers",
        "container_numbers": "the containers",
        "seal_numbers": "the seals",
        "incoterm": "terms of delivery",
        "exit_office": "the office where they leave the territory",
        "entry_office": "the office where they enter it",
        "invoice_amount": "the invoice's total",
        "invoice_currency": "its currency",
        "freight_amount": "freight",
        "freight_currency": "its currency",
        "insurance_amount": "insurance",
        "insurance_currency": "its currency",
        "gross_mass_kg": "gross mass of everything, kg",
        "package_count": "packages of everything",
        "item_count": "number of items",
        "items": "the goods, item by item",
        "documents": "documents attached",
        "previous_documents": "previous documents",
        "extensions": "what the national document carries and the model does not",
    },
    TransitDeclaration: {
        "departure_office": "the office where the transit begins",
        "destination_office": "the office where it ends",
        "transit_offices": "the offices on the way",
        "principal_id": "the number of who answers for it",
        "principal_name": "the name of who answers for it",
        "guarantee": "what secures the duties",
        "time_limit_on": "the day by which it must end",
    },
    Item: {
        "number": "the item's number",
        "hs_code": "six digits of the Harmonized System",
        "national_code": "the national digits behind them",
        "description": "what the goods are, in words",
        "origin_country": "country of origin",
        "gross_mass_kg": "gross mass, kg",
        "net_mass_kg": "net mass, kg",
        "package_count": "packages",
        "package_kind": "kind of packages",
        "supplementary_quantity": "quantity in the supplementary unit",
        "supplementary_unit": "that unit",
        "procedure_code": "customs procedure",
        "national_procedure": "national part of the procedure",
        "item_price": "price, in the invoice's currency",
        "statistical_value": "statistical value, in the national currency",
        "container_numbers": "the containers that it is in",
        "documents": "documents attached to the item",
        "previous_documents": "the item's previous documents",
    },
    Document: {
        "type_code": "its kind",
        "reference": "its number",
        "issued_on": "when it was issued",
        "issuer": "who issued it",
    },
    Guarantee: {
        "type_code": "its kind",
        "reference": "its number",
        "amount": "its amount",
        "currency": "its currency",
    },
    CrossingEvent: {
        "administration": "the administration of the post where it happened",
        "office_code": "the office of that post",
        "event_number": "the event's own number there",
        "kind": "what happened: arrived, weighed, examined, released, …",
        "occurred_at": "when",
        "declaration_administration": "the declaration that it belongs to: its administration",
        "declaration_office_code": "its office",
        "declaration_year": "its year",
        "declaration_number": "its number",
        "vehicle": "the vehicle",
        "onto_vehicle": "the vehicle after a transshipment",
        "part_quantity": "what of the goods is in this vehicle",
        "weighed_mass_kg": "what the scales showed, kg",
        "control_result": "the result of a control",
        "reason": "why the vehicle was turned back",
        "extensions": "what the national system carries and the model does not",
    },
    Vehicle: {
        "plates": "its plates",
        "nationality": "where it is registered",
        "transport_mode": "road, rail, …",
        "container_numbers": "the containers on it",
        "seal_numbers": "the seals on it",
    },
    PartQuantity: {
        "package_count": "packages",
        "gross_mass_kg": "gross mass, kg",
        "net_mass_kg": "net mass, kg",
        "item_numbers": "which items",
    },
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a type: its dotted path (`items.documents.issuer`), and what it is."""

    path: str
    meaning: str


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[Field]:
    """Give every field of a model in its order, each followed by those beneath it."""
    for name, described in model.model_fields.items():
        yield Field(prefix + name, _meaning(model, name))
        part = part_of(described.annotation)
        if part is not None and part is not dict:
            yield from fields_of(part, f"{prefix}{name}.")


def part_of(annotation: Any) -> Any:
    """Find the model inside `Item`, `Guarantee | None` or `tuple[Item, ...]`; dict for `extensions`, None for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if annotation is dict or getattr(annotation, "__origin__", None) is dict:
        return dict
    return next((part for part in map(part_of, get_args(annotation)) if part is not None), None)


def _meaning(model: type[BaseModel], name: str) -> str:
    return next(MEANINGS[each][name] for each in model.__mro__ if name in MEANINGS.get(each, {}))
