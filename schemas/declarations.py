"""Export, import and transit declarations as they are exchanged, with their items.

Identity is (administration, office_code, registration_year, registration_number); a later version says what it corrects and why.
Names follow the WCO Data Model; docs/data-model.md maps each to ASYCUDA's SAD and the WCO declaration. Money and masses are
decimals, written in JSON as strings; instants keep the offset of their place.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.codelists import (
    ContainerNumber,
    CountryCode,
    CurrencyCode,
    HsCode,
    Incoterm,
    OfficeCode,
    PackageKind,
    TransportMode,
)
from schemas.codelists.transport_modes import FIXED_INSTALLATION
from schemas.extensions import Extensions
from schemas.limits import ITEMS, TEXT_CHARACTERS, VERSIONS
from schemas.text import Text
from schemas.values import Day, Instant, plain_decimal, whole

Administration = Annotated[str, Field(pattern=r"^[a-z]{2}$", description="the customs administration: ISO 3166-1 alpha-2, lower case")]
Amount = Annotated[Decimal, plain_decimal(14, 4)]
MassKg = Annotated[Decimal, plain_decimal(10, 6)]
Quantity = Annotated[Decimal, plain_decimal(10, 6)]
ItemNumber = Annotated[int, whole(1, ITEMS)]
Year = Annotated[int, whole(1990, 2199)]
Version = Annotated[int, whole(1, VERSIONS)]
Name = Annotated[Text, Field(max_length=300)]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9./ _-]*$", max_length=40)]
Plate = Annotated[Text, Field(min_length=1, max_length=40)]
RegistrationNumber = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9/._-]*$", max_length=40)]


class Part(BaseModel):
    """A part of what is exchanged: unknown fields are refused, values are immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MessageFunction(StrEnum):
    """What this version does (WCO element 017): the first one, a correction, or a cancellation."""

    ORIGINAL = "original"
    AMENDMENT = "amendment"
    CANCELLATION = "cancellation"


class Document(Part):
    """A document attached or a previous one referred to (SAD boxes 44 and 40)."""

    type_code: Code
    reference: Annotated[Text, Field(min_length=1, max_length=140)]
    issued_on: Day | None = None
    issuer: Name | None = None


class Item(Part):
    """One goods item (WCO GovernmentAgencyGoodsItem; SAD boxes 31 to 46)."""

    number: ItemNumber
    hs_code: HsCode | None = Field(default=None, description="may be absent in transit only, where goods are often described in words")
    national_code: str | None = Field(default=None, pattern=r"^[0-9A-Z]{1,8}$")
    description: Annotated[Text, Field(min_length=1, max_length=TEXT_CHARACTERS)] | None = None
    origin_country: CountryCode | None = None
    gross_mass_kg: MassKg | None = None
    net_mass_kg: MassKg | None = None
    package_count: Quantity | None = None
    package_kind: PackageKind | None = None
    supplementary_quantity: Quantity | None = None
    supplementary_unit: Code | None = None
    procedure_code: str | None = Field(default=None, pattern=r"^[0-9A-Z]{2,7}$")
    national_procedure: Code | None = None
    item_price: Amount | None = None
    statistical_value: Amount | None = None
    container_numbers: tuple[ContainerNumber, ...] = Field(default=(), max_length=99)
    documents: tuple[Document, ...] = Field(default=(), max_length=99)
    previous_documents: tuple[Document, ...] = Field(default=(), max_length=99)

    @model_validator(mode="after")
    def _masses_agree(self) -> Item:
        check_masses(self.net_mass_kg, self.gross_mass_kg)
        return self


class Guarantee(Part):
    """What secures the duties of a transit (SAD box 52; NCTS Guarantee)."""

    type_code: Code
    reference: Annotated[Text, Field(max_length=60)] | None = None
    amount: Amount | None = None
    currency: CurrencyCode | None = None


class Declaration(Part):
    """What every declaration carries. A cancellation needs nothing but its identity, what it cancels, and why."""

    complete: ClassVar[bool] = True  # a draft (schemas.drafts) may lack what its national system has yet to give
    classified: ClassVar[bool] = True  # every item has its hs_code

    administration: Administration
    office_code: OfficeCode
    registration_year: Year
    registration_number: RegistrationNumber
    version: Version = 1
    message_function: MessageFunction = MessageFunction.ORIGINAL
    corrects: Version | None = Field(default=None, description="the version that this one replaces or cancels")
    correction_reason: Annotated[Text, Field(min_length=1, max_length=500)] | None = None
    registered_on: Day | None = None
    accepted_at: Instant | None = Field(default=None, description="with the offset of its place: +05:00 Dushanbe, +04:30 Kabul")
    local_reference: Annotated[Text, Field(min_length=1, max_length=60)] | None = None
    declaration_type: Code | None = None
    exporter_id: Code | None = None
    exporter_name: Name | None = None
    consignee_id: Code | None = None
    consignee_name: Name | None = None
    declarant_id: Code | None = None
    declarant_name: Name | None = None
    export_country: CountryCode | None = None
    destination_country: CountryCode | None = None
    border_transport_mode: TransportMode | None = None
    inland_transport_mode: TransportMode | None = None
    vehicle_ids: tuple[Plate, ...] = Field(default=(), max_length=50)
    vehicle_nationality: CountryCode | None = None
    inland_vehicle_ids: tuple[Plate, ...] = Field(default=(), max_length=50)
    containerised: bool | None = Field(default=None, strict=True)
    container_numbers: tuple[ContainerNumber, ...] = Field(default=(), max_length=999)
    seal_numbers: tuple[Annotated[Text, Field(min_length=1, max_length=40)], ...] = Field(default=(), max_length=999)
    incoterm: Incoterm | None = None
    exit_office: OfficeCode | None = None
    entry_office: OfficeCode | None = None
    invoice_amount: Amount | None = None
    invoice_currency: CurrencyCode | None = None
    freight_amount: Amount | None = None
    freight_currency: CurrencyCode | None = None
    insurance_amount: Amount | None = None
    insurance_currency: CurrencyCode | None = None
    gross_mass_kg: MassKg | None = None
    package_count: Quantity | None = None
    item_count: Annotated[int, whole(0, ITEMS)] | None = None
    items: tuple[Item, ...] = Field(default=(), max_length=ITEMS)
    documents: tuple[Document, ...] = Field(default=(), max_length=99)
    previous_documents: tuple[Document, ...] = Field(default=(), max_length=99)
    extensions: Extensions = Field(default_factory=dict)

    @property
    def reference(self) -> str:
        """The declaration's name among all its versions: `TJ/<office>/<year>/<number>`; an event's `subject`."""
        return declaration_reference(self.administration, self.office_code, self.registration_year, self.registration_number)

    @model_validator(mode="after")
    def _versions_make_sense(self) -> Declaration:
        if not self.complete:
            return self
        if self.message_function is MessageFunction.ORIGINAL:
            if self.version != 1 or self.corrects is not None:
                raise ValueError("an original has version 1 and corrects nothing")
        else:
            if self.corrects is None or not self.corrects < self.version:
                raise ValueError("an amendment or cancellation names the earlier version that it corrects")
            if self.correction_reason is None:
                raise ValueError("an amendment or cancellation gives its correction_reason")
        if self.message_function is not MessageFunction.CANCELLATION and not self.items:
            raise ValueError("a declaration has at least one item")
        return self

    @model_validator(mode="after")
    def _items_agree(self) -> Declaration:
        numbers = [item.number for item in self.items]
        if numbers != sorted(set(numbers)):
            raise ValueError("item numbers rise and are unique")
        if self.complete and self.classified and (bare := [item.number for item in self.items if item.hs_code is None]):
            raise ValueError(f"every item of an export or import declaration has its hs_code; without it: item {bare[0]}")
        if self.items and self.item_count is not None and self.item_count != len(self.items):
            raise ValueError(f"item_count is {self.item_count}, but there are {len(self.items)} items")
        return self

    @model_validator(mode="after")
    def _fixed_installations_have_no_vehicle(self) -> Declaration:
        if self.border_transport_mode == FIXED_INSTALLATION and (self.vehicle_ids or self.vehicle_nationality is not None):
            raise ValueError("border_transport_mode 7 is a power line or pipeline: no vehicle_ids, no vehicle_nationality")
        if self.inland_transport_mode == FIXED_INSTALLATION and self.inland_vehicle_ids:
            raise ValueError("inland_transport_mode 7 is a power line or pipeline: no inland_vehicle_ids")
        return self


class ExportDeclaration(Declaration):
    """Goods that leave the administration's territory."""


class ImportDeclaration(Declaration):
    """Goods that enter it. Stays on its own side unless it is released."""


class TransitDeclaration(Declaration):
    """Goods that cross under customs control, secured by a guarantee."""

    classified: ClassVar[bool] = False

    departure_office: OfficeCode | None = None
    destination_office: OfficeCode | None = None
    transit_offices: tuple[OfficeCode, ...] = Field(default=(), max_length=9)
    principal_id: Code | None = None
    principal_name: Name | None = None
    guarantee: Guarantee | None = None
    time_limit_on: Day | None = None


def declaration_reference(administration: str, office_code: str | None, year: int, number: str) -> str:
    """`TJ/<office>/<year>/<number>`: the identity in one line; `-` for an office that is not told."""
    return f"{administration.upper()}/{office_code or '-'}/{year}/{number}"


def check_masses(net_mass_kg: Decimal | None, gross_mass_kg: Decimal | None) -> None:
    """Check that the net mass is not above the gross mass, where both are given; ValueError otherwise.

    Within one item or one vehicle only: the totals of real declarations differ from the sums of their items by rounding.
    """
    if net_mass_kg is not None and gross_mass_kg is not None and net_mass_kg > gross_mass_kg:
        raise ValueError(f"net_mass_kg {net_mass_kg} is above gross_mass_kg {gross_mass_kg}")
