"""The mapping file of a source of rows (TOML): which column fills which field, how rows make declarations, how cells are written.

docs/formats.md describes it, with an example. Reading and checking one stands in `columns_files`; what it means for rows of cells in
`rows`, `grouping` and `declaring`; how a file is taken apart into rows in `csv_files` and `excel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field

from broker.settings.words import CodeTable, StreamType
from producers.formats import rules
from producers.formats.cells import Path, Taking, constant_of, taking
from producers.formats.fields import INSTANT, fields_of
from producers.formats.reading import Conventions, Described
from producers.formats.uses import Cells, ColumnName, Constant, Use, Words, compared


def _uses(given: Any) -> Any:
    several = given if isinstance(given, list) else [given]
    return [{"field": each} if isinstance(each, str) else each for each in several]


class TypeColumn(Words):
    """Where a column tells the type of each declaration."""

    column: ColumnName
    values: dict[str, StreamType] = Field(min_length=1, description="what the column says, and the type that it means")


class Rows(Words):
    """How rows make declarations."""

    one_is: Literal["declaration", "item"] = Field(default="declaration", description="what one row is")
    key: tuple[ColumnName, ...] = Field(default=(), max_length=8, description="the columns that tell one declaration from the next")
    blank_key: Literal["refused", "follows"] = Field(
        default="refused", description="follows: a row with a blank key holds another item of the declaration above it"
    )


class Totals(Words):
    """How a row of totals is known, and whether it is skipped or the file's fault."""

    column: ColumnName
    values: tuple[str, ...] = Field(min_length=1, max_length=20)
    rows: Literal["skipped", "refused"] = "skipped"


class Columns(Words):
    """A mapping file, checked."""

    proposal: bool = Field(default=False, strict=True, description="true in what `panj formats columns` proposes, until somebody read it")
    type: StreamType | TypeColumn = Field(description="the type of every declaration, or the column that tells it")
    table: Cells = Cells()
    rows: Rows = Rows()
    totals: Totals | None = None
    constants: dict[str, Constant] = Field(default_factory=dict, description="fields that are the same in every declaration or item")
    columns: dict[ColumnName, Annotated[tuple[Use, ...], BeforeValidator(_uses)]] = Field(min_length=1, description="column to field")
    kept: tuple[ColumnName, ...] = Field(default=(), description="columns that no field says: kept under extensions")
    not_taken: tuple[ColumnName, ...] = Field(default=(), description="columns that are left out on purpose")
    codes: dict[CodeTable, dict[str, str]] = Field(default_factory=dict, description="local codes, before the source's own tables")

    @property
    def types(self) -> tuple[str, ...]:
        """The types that its declarations may have."""
        return tuple(dict.fromkeys(self.type.values.values())) if isinstance(self.type, TypeColumn) else (self.type,)

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns without which a table is none of this mapping's."""
        names = [name for name, uses in self.columns.items() if not all(use.optional for use in uses)]
        told = [self.type.column] if isinstance(self.type, TypeColumn) else []
        return tuple(dict.fromkeys([*told, *self.rows.key, *([self.totals.column] if self.totals else []), *names]))

    @cached_property
    def spellings(self) -> Mapping[str, str]:
        """Every column that is named here, by `compared` name, as it is spelled here."""
        return {compared(name): name for name in (*self.needed, *self.columns, *self.kept, *self.not_taken)}

    def spelling_of(self, name: str) -> str | None:
        """Give the name that is used here for a column of a table; None where nothing is said of it."""
        return self.spellings.get(compared(name))

    @cached_property
    def numbering(self) -> tuple[str, ...]:
        """The columns that hold the number of a declaration or crossing event."""
        return self._filling("registration_number", "event_number")

    @cached_property
    def goods(self) -> tuple[str, ...]:
        """The columns that say what the goods of an item are."""
        return self._filling("items[].hs_code", "items[].description")

    @cached_property
    def dated(self) -> tuple[str, ...]:
        """The columns that hold dates, with or without a time of day."""
        return tuple(
            dict.fromkeys(
                name
                for takings in self.takings.values()
                for name, each in takings.items()
                if any(taking.slot.row.rule in (rules.DAY, INSTANT) for taking in each)
            )
        )

    def shows_no_order(self, conventions: Conventions) -> bool:
        """Whether neither this file nor the source says in which order dates are written, and there are dates."""
        return self.under(conventions).date_order is None and bool(self.dated)

    def _filling(self, *fields: str) -> tuple[str, ...]:
        return tuple(name for name, uses in self.columns.items() if any(use.field in fields for use in uses))

    @cached_property
    def takings(self) -> Mapping[str, Mapping[str, tuple[Taking, ...]]]:
        """By type, what is taken from each column."""
        return {event_type: self._of_type(event_type) for event_type in self.types}

    def _of_type(self, event_type: str) -> Mapping[str, tuple[Taking, ...]]:
        found = {name: [taking(name, use, self.table, event_type) for use in uses] for name, uses in self.columns.items()}
        return {name: tuple(each for each in ready if each) for name, ready in found.items()}

    @cached_property
    def constant_values(self) -> Mapping[str, tuple[tuple[Path, Any], ...]]:
        """By type, the constants that it has, each with its field."""
        return {
            event_type: tuple(
                (path, constant_of(value, fields_of(event_type)[path.canonical]))
                for name, value in self.constants.items()
                if (path := Path.of(name)) and path.canonical in fields_of(event_type)
            )
            for event_type in self.types
        }

    def under(self, conventions: Conventions) -> Conventions:
        """The source's conventions, with what this file says before them."""
        codes = {str(name): {**conventions.codes.get(name, {}), **table} for name, table in self.codes.items()}
        return replace(
            conventions,
            date_order=self.table.date_order or conventions.date_order,
            time_zone=ZoneInfo(self.table.time_zone) if self.table.time_zone else conventions.time_zone,
            codes={**conventions.codes, **codes},
        )

    def describe(self) -> tuple[Described, ...]:
        """The mapping as people read it, in the order of the file."""
        told = []
        if isinstance(self.type, TypeColumn):
            told += [Described(self.type.column, "(type)", "", f"{said!r} is {meant}") for said, meant in self.type.values.items()]
        for name, uses in self.columns.items():
            for use in uses:
                ready = next(found for each in self.types if (found := taking(name, use, self.table, each)))
                beside = "".join(f"; {other} is {value}" for other, value in use.constants.items())
                told.append(Described(name, use.field, ready.slot.row.unit, ready.slot.row.rule.says + beside))
        told += [Described("(constant)", name, "", f"always {value}") for name, value in self.constants.items()]
        told += [Described(name, "extensions", "", "kept as it is") for name in self.kept]
        return (*told, *(Described(name, "", "", "not taken") for name in self.not_taken))


def columns_of(conventions: Conventions) -> Columns | None:
    """The mapping file of a source, where it has one."""
    return conventions.columns if isinstance(conventions.columns, Columns) else None
