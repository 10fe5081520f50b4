"""Crossing events: what happened to a consignment at a border post, one truck at a time. One declaration may need many trucks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from schemas.codelists import ContainerNumber, CountryCode, OfficeCode, TransportMode
from schemas.codelists.transport_modes import FIXED_INSTALLATION
from schemas.declarations import (
    Administration,
    Code,
    ItemNumber,
    MassKg,
    Part,
    Plate,
    Quantity,
    RegistrationNumber,
    Year,
    check_masses,
    declaration_reference,
)
from schemas.extensions import Extensions
from schemas.limits import ITEMS
from schemas.text import Text
from schemas.values import Instant


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

    @model_validator(mode="after")
    def _fixed_installations_have_no_vehicle(self) -> Vehicle:
        if self.transport_mode == FIXED_INSTALLATION and (self.plates or self.nationality is not None):
            raise ValueError("transport_mode 7 is a power line or pipeline: no plates, no nationality")
        return self


class PartQuantity(Part):
    """The part of the declaration's goods in this vehicle."""

    package_count: Quantity | None = None
    gross_mass_kg: MassKg | None = None
    net_mass_kg: MassKg | None = None
    item_numbers: tuple[ItemNumber, ...] = Field(default=(), max_length=ITEMS)

    @model_validator(mode="after")
    def _masses_agree(self) -> PartQuantity:
        check_masses(self.net_mass_kg, self.gross_mass_kg)
        return self


class CrossingEvent(Part):
    """One thing that happened at a post to one vehicle of one declaration.

    Identity is (administration of the post, office_code, event_number). The declaration is named as its own administration
    registered it and may be the neighbour's. A transshipment tells the vehicle before (`vehicle`) and after (`onto_vehicle`).
    """

    administration: Administration
    office_code: OfficeCode
    event_number: RegistrationNumber
    kind: CrossingKind
    occurred_at: Instant
    declaration_administration: Administration
    declaration_office_code: OfficeCode | None = Field(
        default=None, description="absent where the number names the declaration without its office, as an MRN does"
    )
    declaration_year: Year
    declaration_number: RegistrationNumber
    vehicle: Vehicle
    onto_vehicle: Vehicle | None = None
    part_quantity: PartQuantity | None = None
    weighed_mass_kg: MassKg | None = None
    control_result: Code | None = None
    reason: Annotated[Text, Field(min_length=1, max_length=500)] | None = None
    extensions: Extensions = Field(default_factory=dict)

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
