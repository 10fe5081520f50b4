"""The mapping file of a `tables` follower: which field of the data model goes into which column of which table. Reading and checking it.

[[tables]]
table = "national.declaration"      # schema.table, or table
mode = "upsert"                     # one row for a declaration, as it stands; or "append": one for each version
key = ["decl_ref"]                  # columns; unique in the database
cancelled = "update"                # a cancellation updates what it says; or "delete"
[tables.columns]
reference = "decl_ref"              # field = column
"event.status" = "status"

[[tables]]
table = "national.declaration_item"
each = "items"                      # a row for each of this list
mode = "upsert"
key = ["decl_ref", "item_no"]
[tables.columns]
reference = "decl_ref"
"items.number" = "item_no"
"items.hs_code" = "hs"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from broker.settings.table import Table
from schemas.content import MODELS
from schemas.errors import Problem, SettingsError, shown
from schemas.meanings import fields_of, part_of
from schemas.names import EventType

ENVELOPE = frozenset({"id", "source", "type", "purpose", "legal_basis", "accepted_at", "received_at", "status"})
COMPUTED = frozenset({"reference", "version", "declaration"})  # properties of the models

Words = Annotated[str, Field(min_length=1, max_length=200)]


class MappedTable(Table):
    """One table: which columns are filled from which fields, and how a declaration's rows are found again."""

    table: Words
    mode: Literal["upsert", "append"] = "upsert"
    key: tuple[Words, ...] = ()
    each: Words | None = None
    cancelled: Literal["update", "delete"] = "update"
    columns: dict[Words, Words] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_its_key(self) -> MappedTable:
        filled = set(self.columns.values())
        if len(filled) < len(self.columns):
            raise ValueError("two fields go into the same column")
        if self.mode == "upsert" and not self.key:
            raise ValueError("an upsert needs its key: the columns by which a row is found again")
        if unknown := sorted(set(self.key) - filled):
            raise ValueError(f"key columns that no field fills: {', '.join(unknown)}")
        if self.mode == "upsert" and self.each is not None and not (self.of_declaration and self.of_element):
            raise ValueError(f"the key of a table with each needs a column of the declaration, and one of {self.each}.…")
        return self

    @property
    def of_declaration(self) -> tuple[str, ...]:
        """The key columns that the declaration itself fills."""
        return tuple(column for field, column in self.columns.items() if column in self.key and not self._inside(field))

    @property
    def of_element(self) -> tuple[str, ...]:
        """The key columns that each element fills."""
        return tuple(column for field, column in self.columns.items() if column in self.key and self._inside(field))

    def _inside(self, field: str) -> bool:
        return self.each is not None and field.startswith(f"{self.each}.")


class MappingFile(Table):
    """All tables of one follower, in the order in which they are written."""

    tables: tuple[MappedTable, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Faults:
    """Where in a mapping file something is wrong, gathered to be told at once."""

    path: Path
    problems: list[Problem]

    def add(self, text: str, value: object = None) -> None:
        """Note one more."""
        told = None if value is None else shown(value)
        self.problems.append(Problem(code="follow-mapping", text=text[:500], field=str(self.path)[-200:], value=told))

    def raise_any(self) -> None:
        """SettingsError with all of them, where there are any."""
        if self.problems:
            raise SettingsError.of(self.problems)


def read_mapping(path: Path, types: tuple[EventType, ...]) -> MappingFile:
    """Read a mapping file and check it against the models of these types; SettingsError `follow-mapping` with all that is wrong."""
    faults = Faults(path, [])
    try:
        mapping = MappingFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise SettingsError("follow-mapping", f"the mapping file cannot be read: {error.strerror}", field=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("follow-mapping", f"the mapping file is not TOML: {error}", field=str(path)) from None
    except ValidationError as error:
        for found in error.errors(include_url=False):
            faults.add(f"{'.'.join(map(str, found['loc']))}: {found['msg'].removeprefix('Value error, ')}")
        raise SettingsError.of(faults.problems) from None
    for table in mapping.tables:
        for fault, value in _unknown(table, types):
            faults.add(f"table {table.table}: {fault}", value)
    faults.raise_any()
    return mapping


def _unknown(table: MappedTable, types: tuple[EventType, ...]) -> Iterator[tuple[str, str]]:
    models = [MODELS[event_type] for event_type in types]
    known = {field.path for model in models for field in fields_of(model)} | COMPUTED | {f"event.{name}" for name in ENVELOPE}
    lists = {name for model in models for name in model.model_fields if _is_list(model, name)}
    if table.each is not None and table.each not in lists:
        yield f"each is one of {', '.join(sorted(lists))}", table.each
    for field in table.columns:
        if field not in known and not field.startswith("extensions."):
            yield "none of the types that it follows has this field", field
        elif "." in field and field.split(".")[0] in lists and field.split(".")[0] != table.each:
            yield f"a field of a list needs a table with each = {field.split('.')[0]!r}", field


def _is_list(model: type[BaseModel], name: str) -> bool:
    annotation: Any = model.model_fields[name].annotation
    part = part_of(annotation)
    return part is not None and part is not dict and getattr(annotation, "__origin__", None) is tuple
