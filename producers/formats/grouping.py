"""Which rows make a declaration: they stand together, under one key, and memory is bounded by one of them.

A key that comes again later is refused, not merged. Where rows are items, a row that cannot be read takes the declarations beside it with
it, because nobody can tell whose it was. A row of totals is skipped only where the mapping file tells how it is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from producers.formats.columns import Columns
from producers.formats.dates import dates_of
from producers.formats.declaring import declare
from producers.formats.reading import Conventions, LocatedProblem, Part, Place, ReadDeclaration, Unread
from producers.formats.rows import Record, records_of
from schemas.errors import ContentError
from schemas.limits import ITEMS
from schemas.values import DateOrder

DECLARATIONS = 250_000  # in one table: their keys are remembered, so that none of them comes twice
_TOTALS = frozenset(("total", "totals", "grand total", "sum", "итого", "всего", "ҳамагӣ", "ҷамъ", "جمع", "مجموع", "مجموعه", "مجموعي"))


def rows_to_parts(
    rows: Iterable[Mapping[str, object]], columns: Columns, conventions: Conventions, kept_under: str = "rows"
) -> Iterator[Part]:
    """Make declarations of the rows of a table or view: each row a mapping of column to value, None for NULL, all with the same columns.

    The rows of one declaration must stand together (ORDER BY the key columns), and the last of them be there: a page of a view ends with a
    declaration, not within one. Raises ContentError as `resolve_header` where the columns are not those of the mapping file.
    """
    return parts_of_records(records_of(rows, columns), columns, conventions, kept_under)


def parts_of_records(rows: Iterable[Record | Unread], columns: Columns, conventions: Conventions, kept_under: str) -> Iterator[Part]:
    """Make declarations of records in their order; a row that could not be read stands among them as `Unread`."""
    under = columns.under(conventions)
    grouping = _Grouping(columns)
    warnings: list[LocatedProblem] | None = None
    for found in grouping.groups(rows):
        part = found if isinstance(found, Unread) else _part(found, columns, under, kept_under)
        if warnings is None and isinstance(found, _Group):
            warnings = _unnamed(found.records[0], columns) if found.records else None
        if warnings and isinstance(part, ReadDeclaration):  # told once, with the first declaration of the table
            part, warnings = replace(part, warnings=(*warnings, *part.warnings)), []
        yield part


def with_order_shown(conventions: Conventions, columns: Columns, rows: Iterable[Record | Unread]) -> Conventions:
    """Learn the order of day and month from all dates of a table, where it shows in one way: 4/1/15 can be read beside 4/13/15.

    What contradicts it, or stays open, is refused when it is read.
    """
    orders: set[DateOrder | None] = set()
    for row in rows:
        if isinstance(row, Record):
            orders.add(dates_of([row.said(name, columns) for name in columns.dated], None).order)
    orders -= {None, "ymd"}  # a year of four digits in front can be read beside either
    return replace(conventions, date_order=orders.pop()) if len(orders) == 1 else conventions


@dataclass(slots=True)
class _Group:
    """The rows of one declaration so far, and what is wrong with it as a whole."""

    key: tuple[str, ...]
    line: int | None
    records: list[Record] = field(default_factory=list)
    problems: list[LocatedProblem] = field(default_factory=list)

    def refuse(self, code: str, text: str, value: object = None) -> None:
        """Note once that it cannot be taken, and why."""
        if not any(problem.code == code for problem in self.problems):
            self.problems.append(LocatedProblem(ContentError(code, text, value=value).problems[0], Place(None, self.line)))


class _Grouping:
    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._seen: set[bytes] = set()
        self._open: _Group | None = None
        self._unread_before: int | None = None
        self._full = False

    def groups(self, rows: Iterable[Record | Unread]) -> Iterator[_Group | Unread]:
        """Give each group when its last row is there, and what is wrong with single rows as it comes."""
        for row in rows:
            if self._full:
                break
            if isinstance(row, Unread):
                yield row
                self._spoil(row.line)
            elif (wrong := self._wrong(row)) is not None:
                if wrong.problems:
                    yield wrong
                if any(problem.code == "row-keyless" for problem in wrong.problems):
                    self._spoil(row.line)
            elif self._belongs(row):
                self._append(row)
            else:
                yield from self._close()
                self._begin(row)
                if self._columns.rows.one_is == "declaration":
                    yield from self._close()
        yield from self._close()

    def _wrong(self, row: Record) -> Unread | None:
        """What is wrong with a row by itself; an `Unread` without problems where it is skipped."""
        columns = self._columns
        if not row.problems and not any(row.said(name, columns) for name in row.cells):
            return Unread(())
        totals = columns.totals
        if totals is not None and row.said(totals.column, columns) in totals.values:
            if totals.rows == "skipped":
                return Unread(())
            return _refused(row, "row-totals", "a row of totals, and the mapping file refuses them", row.said(totals.column, columns))
        telling = [row.said(name, columns) for name in (columns.rows.key or columns.numbering)]
        words = [text for text in telling if text] or [text for name in row.cells if (text := row.said(name, columns))][:1]
        if any(word.casefold().rstrip(": ") in _TOTALS for word in words):
            return _refused(row, "row-totals", "it looks like a row of totals: tell in [totals] how such rows are known", words[0])
        if telling and not any(telling) and not self._follows() and not self._is_draft(row):
            blank = ", ".join(columns.rows.key or columns.numbering)
            return _refused(row, "row-keyless", f"the columns that tell declarations apart are blank: {blank}")
        return None

    def _is_draft(self, row: Record) -> bool:
        """Whether it may be a declaration that its system has not given a number yet."""
        return self._columns.rows.one_is == "declaration" and self._names_goods(row)

    def _follows(self) -> bool:
        return self._columns.rows.blank_key == "follows" and (self._open is not None or self._unread_before is not None)

    def _belongs(self, row: Record) -> bool:
        if self._open is None:
            return False
        key = row.key(self._columns)
        return key == self._open.key or not any(key)

    def _begin(self, row: Record) -> None:
        key = row.key(self._columns)
        self._open = _Group(key, row.line, [row])
        if self._unread_before is not None and self._columns.rows.one_is == "item":
            self._open.refuse("row-beside-unread", f"line {self._unread_before} before it cannot be read, and may be its own")
        self._unread_before = None
        if not any(key):
            if self._columns.rows.one_is == "item":
                self._open.refuse("row-beside-unread", "its key is blank, and the row that it follows cannot be read")
            return
        digest = blake2b("\x1f".join(key).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._seen:
            self._open.refuse(
                "key-repeated", "the same declaration came before, with others between: its rows must stand together", "/".join(key)
            )
        elif len(self._seen) >= DECLARATIONS:
            self._open.refuse("table-too-long", f"a table holds at most {DECLARATIONS:,} declarations: split it; the rest is not read")
            self._full = True
        else:
            self._seen.add(digest)

    def _append(self, row: Record) -> None:
        group = self._open
        if group is None:  # pragma: no cover  `_belongs` has looked
            return
        if not any(row.key(self._columns)) and not self._names_goods(row):
            group.refuse("row-keyless", f"line {row.line} has a blank key and names no goods: a row of totals is told in [totals]")
        if len(group.records) < ITEMS:
            group.records.append(row)
        else:
            group.refuse("declaration-too-large", f"a declaration has at most {ITEMS} items", len(group.records) + 1)

    def _names_goods(self, row: Record) -> bool:
        return any(row.said(name, self._columns) for name in self._columns.goods)

    def _spoil(self, line: int | None) -> None:
        if self._open is not None:
            self._open.refuse("row-beside-unread", f"line {line} beside it cannot be read, and may be its own")
        self._unread_before = line

    def _close(self) -> Iterator[_Group]:
        if self._open is not None:
            yield self._open
        self._open = None


def _part(group: _Group, columns: Columns, conventions: Conventions, kept_under: str) -> Part:
    if group.problems:
        return Unread(tuple(group.problems), group.line)
    return declare(group.records, columns, conventions, kept_under)


def _refused(row: Record, code: str, text: str, value: object = None) -> Unread:
    return Unread.of(ContentError(code, text, value=value).problems, row.line)


def _unnamed(record: Record, columns: Columns) -> list[LocatedProblem]:
    """Tell once for a table which columns are kept beside the data: as the mapping file says, or because it says nothing of them."""
    kept = [name for name in record.cells if name in columns.kept]
    unnamed = [name for name in record.cells if columns.spelling_of(name) is None]
    told = []
    if kept:
        text = "kept under extensions, as the mapping file says: no field takes them"
        told.append(ContentError("values-kept", text, value=", ".join(kept)))
    if unnamed:
        text = "kept under extensions: the mapping file says nothing of them; name them in columns, kept or not_taken"
        told.append(ContentError("column-unnamed", text, value=", ".join(unnamed)))
    return [LocatedProblem(error.problems[0], Place(None, record.line)) for error in told]
