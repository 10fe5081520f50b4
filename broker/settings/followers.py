"""Followers of the house: what it has loaded, carried on into the national system. `consumers.loaders`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from broker.settings.table import Table
from broker.settings.words import CodeTable, DatabaseUrl, Purpose, StreamType, UnitName
from schemas.codelists import OfficeCode
from schemas.names import EventType
from schemas.values import DateOrder


class Follower(Table):
    """What every follower has: a name of its own for good, the types that it follows, and the purpose that it reads them for."""

    name: UnitName
    types: tuple[StreamType, ...] = Field(min_length=1)
    purpose: Purpose
    since: date | None = Field(default=None, description="what was received before this day (UTC) is left out")


class AsycudaFiles(Follower):
    """Each declaration as a SAD XML file in a folder from which ASYCUDA imports."""

    kind: Literal["asycuda-files"]
    folder: Path
    exports: Literal["import", "as-declared"] = Field(default="import", description="an export becomes a pre-filled import, or stays one")
    office: OfficeCode | None = Field(default=None, description="our office where imports are registered, in the national system's codes")
    offices: dict[str, OfficeCode] = Field(default_factory=dict, description="the partner's office of exit, and ours across from it")
    declaration_type: str = Field(default="IM4", pattern=r"^[A-Z]{2,3}[0-9]?$")
    procedure_code: str = Field(default="4000", pattern=r"^[0-9A-Z]{2,7}$")
    national_procedure: str | None = Field(default=None, pattern=r"^[0-9A-Za-z]{1,7}$")
    amendments: Literal["write", "note", "skip"] = Field(default="write", description="a later version: a file of its own, a note, nothing")
    cancellations: Literal["note", "skip"] = "note"
    date_order: DateOrder = "mdy"
    codes: dict[CodeTable, dict[str, str]] = Field(default_factory=dict, description="local codes, and the lists' own for each")

    @model_validator(mode="after")
    def _can_be_written(self) -> AsycudaFiles:
        if EventType.CROSSING_EVENT in self.types:
            raise ValueError("a crossing event is no declaration: a SAD cannot say it")
        if self.exports == "import" and self.office is None and EventType.EXPORT_DECLARATION in self.types:
            raise ValueError('office is needed: where the pre-filled imports are registered (or exports = "as-declared")')
        return self


class MappedTables(Follower):
    """Tables of a database, filled as a mapping file says; in the house's own database where none is named."""

    kind: Literal["tables"]
    mapping: Path
    database: DatabaseUrl | None = Field(default=None, description="where the tables are; without it the house's own")


AnyFollower = Annotated[AsycudaFiles | MappedTables, Field(discriminator="kind")]
