"""Crossing events: what happened to a consignment at a border post, one truck at a time. One declaration may need many trucks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, model_validator

from schemas.codelists import ContainerNumber, CountryCode, OfficeCode, TransportMode
from schemas.declarations import (
    Administration,
    Code,
    MassKg,
    Part,
    Plate,
    Quantity,
    RegistrationNumber,
    declaration_reference,
)
from schemas.text import Text


class CrossingKind(StrEnum):
    """What happened, in the order of a crossing's life (the stamps of a WCO Time Release Study)."""

    ARRIVED = "arrived"
    PRESENTED = "presented"
    WEIGHED = "weighed"
    EXAMINED = "examined"
    RELEASED = "released"
    TURNED_BACK = "turned-back"
    TRANSSHIPPED = "transshipped"
    EXITED = "exited"


class Vehicle(Part):
    """What carries the goods at this moment: plates (truck, trailers), mode and nationality."""

    plates: tuple[Plate, ...] = Field(default=(), max_length=9)
    nationality: CountryCode | None = None
    transport_mode: TransportMode | None = None
    container_numbers: tuple[ContainerNumber, ...] = Field(default=(), max_length=20)
    seal_numbers: tuple[Annotated[Text, Field(min_length=1, max_length=40)], ...] = Field(default=(), max_length=99)


class PartQuantity(Part):
    """The part of the declaration's goods in this vehicle."""

    package_count: Quantity | None = None
    gross_mass_kg: MassKg | None = None
    net_mass_kg: MassKg | None = None
    item_numbers: tuple[int, ...] = Field(default=(), max_length=999)


class CrossingEvent(Part):
    """One thing that happened at a post to one vehicle of one declaration.

    Identity is (administration of the post, office_code, event_number). The declaration is named as its own administration
    registered it and may be the neighbour's. A transshipment tells the vehicle before (`vehicle`) and after (`onto_vehicle`).
    """

    administration: Administration
    office_code: OfficeCode
    event_number: RegistrationNumber
    kind: CrossingKind
    occurred_at: AwareDatetime
    declaration_administration: Administration
    declaration_office_code: OfficeCode
    declaration_year: int = Field(ge=1990, le=2199)
    declaration_number: RegistrationNumber
    vehicle: Vehicle
    onto_vehicle: Vehicle | None = None
    part_quantity: PartQuantity | None = None
    weighed_mass_kg: MassKg | None = None
    control_result: Code | None = None
    reason: Annotated[Text, Field(min_length=1, max_length=500)] | None = None
    extensions: dict[str, Any] = Field(default_factory=dict, max_length=200)

    @property
    def version(self) -> int:
        """Crossing events happen once: always 1."""
        return 1

    @property
    def reference(self) -> str:
        """The event's own name, `TJ/<office>/crossing/<number>`; an event's `subject`."""
        return f"{self.administration.upper()}/{self.office_code}/crossing/{self.event_number}"

    @property
    def declaration(self) -> str:
        """The reference of the declaration that it belongs to."""
        return declaration_reference(
            self.declaration_administration, self.declaration_office_code, self.declaration_year, self.declaration_number
        )

    @model_validator(mode="after")
    def _tells_what_its_kind_needs(self) -> CrossingEvent:
        if (self.kind is CrossingKind.TRANSSHIPPED) != (self.onto_vehicle is not None):
            raise ValueError("a transshipment, and nothing else, names onto_vehicle")
        if self.kind is CrossingKind.WEIGHED and self.weighed_mass_kg is None:
            raise ValueError("a weighing gives weighed_mass_kg")
        if self.kind is CrossingKind.TURNED_BACK and self.reason is None:
            raise ValueError("a vehicle that is turned back is given a reason")
        return self
