"""Rows of cells: what a row is, which column of a table is which of the mapping file, and how values of a database become cells.

Pure, and shared by CSV, Excel and the views of databases; how rows make declarations stands in `grouping` and `declaring`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches

from producers.formats.columns import Columns
from producers.formats.reading import LocatedProblem, Place
from producers.formats.rules import plain_text
from producers.formats.uses import compared
from schemas.errors import ContentError, shown

COLUMNS = 1_000
_NAMES_SHOWN = 6


def _same(column: str) -> str:
    return column


@dataclass(frozen=True, slots=True)
class Record:
    """One row: the text of each cell by its column, "" where it is empty; columns that the mapping file names bear the name it gives them.

    `line` is where it stands in its table, from 1; `path_of` gives the path of a cell by its column (`Sheet1!C12`), its column itself
    where nothing else is known. `numbers` are the columns whose cells their program keeps as numbers, without leading zeros. `problems`
    are those of single cells: its declaration cannot be taken.
    """

    cells: Mapping[str, str]
    line: int | None = None
    numbers: frozenset[str] = frozenset()
    path_of: Callable[[str], str] = _same
    problems: tuple[LocatedProblem, ...] = ()

    def said(self, column: str, columns: Columns) -> str:
        """Give the text of a cell, stripped; "" where it is empty, or holds what the mapping file calls nothing."""
        text = self.cells.get(column, "").strip()
        return "" if text in columns.table.nothing else text

    def key(self, columns: Columns) -> tuple[str, ...]:
        """Give what tells its declaration from the next: the texts of the key columns, digits of all scripts as ASCII ones."""
        return tuple(plain_text(self.said(name, columns)) for name in columns.rows.key)

    def place(self, column: str) -> Place:
        """Tell where a cell stands."""
        return Place(self.path_of(column), self.line)


def resolve_header(names: Sequence[str], columns: Columns) -> list[str]:
    """Give each column of a table the name that the mapping file gives it; others keep their own, and those without one are numbered.

    ContentError `header-missing` where not one of the names is there: what stands there is no header of this mapping. `column-missing`
    where some are there and others are not, with the nearest name that is; `column-twice` where a column that is needed stands twice;
    `table-too-wide`.
    """
    if len(names) > COLUMNS:
        raise ContentError("table-too-wide", f"a table has at most {COLUMNS:,} columns", value=len(names))
    given = [" ".join(name.split()) for name in names]
    resolved: list[str] = []
    for number, name in enumerate(given, 1):
        known = columns.spellings.get(compared(name))
        if known is not None and known in resolved:
            raise ContentError("column-twice", "the header has this column twice: nobody can tell which one is meant", value=name)
        own = known or name or f"column {number}"
        resolved.append(own if known or own not in resolved else f"{own} ({number})")
    missing = [name for name in columns.needed if name not in resolved]
    if missing:
        _tell_missing(missing, [name for name in given if name], columns)
    return resolved


def _tell_missing(missing: Sequence[str], given: Sequence[str], columns: Columns) -> None:
    listed = ", ".join(repr(shown(name, 40)) for name in missing[:_NAMES_SHOWN]) + (" …" if len(missing) > _NAMES_SHOWN else "")
    if len(missing) == len(columns.needed):
        begins = ", ".join(shown(name, 40) for name in given[:3])
        text = f"no header of this mapping file stands here: it would have the columns {listed}"
        raise ContentError("header-missing", text, value=begins)
    nearest = {compared(name): name for name in given}
    wanted = compared(missing[0])
    near = [name for name in nearest if wanted in name or name in wanted] or get_close_matches(wanted, nearest, n=1, cutoff=0.5)
    hint = f"; the nearest to the first is {shown(nearest[near[0]], 60)!r}" if near else ""
    raise ContentError("column-missing", f"the header lacks {listed}, which the mapping file names{hint}", value=missing[0])


def records_of(rows: Iterable[Mapping[str, object]], columns: Columns) -> Iterator[Record]:
    """Make records of the rows of a database: each a mapping of column to value (None for NULL), all with the same columns.

    Raises as `resolve_header`; ContentError `cell-odd` where a value is none that a cell can hold (bytes).
    """
    names: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if not names:
            names = dict(zip(row, resolve_header(tuple(row), columns), strict=True))
        numbers = frozenset(names[name] for name, value in row.items() if is_number(value))
        yield Record({names[name]: text_of(value, columns) for name, value in row.items()}, number, numbers)


def is_number(value: object) -> bool:
    """Whether a value is kept as a number, without the zeros that a code may begin with."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def text_of(value: object, columns: Columns) -> str:
    """Give a value as the text of a cell: numbers as the mapping file says that they are written, days and instants as ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        value = Decimal(f"{value:.15g}")  # what a double keeps for certain, and what Excel shows of it
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f").replace(".", columns.table.decimal or ".")
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, str):
        return value
    raise ContentError("cell-odd", f"a cell holds text, a number, a date or nothing, and no {type(value).__name__}")
