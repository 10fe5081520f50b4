"""Excel: the rows of a sheet, read by the source's mapping file like those of a CSV file.

A cell is taken as Excel keeps it: a date is a date, a formula its saved result, a number what a double keeps for certain (15 digits). A
number in a column of codes is refused, because its leading zeros may be gone, unless the mapping file tells how long the codes are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO

from producers.formats.columns import Columns, columns_of
from producers.formats.describing import describe_fields
from producers.formats.grouping import parts_of_records, with_order_shown
from producers.formats.reading import Conventions, Described, LocatedProblem, Part, Place, Reading, Unread
from producers.formats.rows import Record, is_number, resolve_header, text_of
from producers.formats.workbooks import Cell, OpenWorkbook, looks_like_workbook
from schemas.errors import ContentError

NAME = "excel"
_PADDED = re.compile(r"0{2,20}")
_SAYS_NOTHING = (
    "a workbook says nothing by itself: name its mapping file (posts.NAME.reading.columns, or --columns FILE); "
    "'panj formats columns FILE' proposes one"
)
_WRONG = {
    "error": ("cell-error", "the formula of the cell gives an error"),
    "formula": ("cell-formula", "a formula whose result was never saved: open the workbook in Excel and save it"),
}


class ExcelFiles:
    """Sheets of workbooks, read by the source's mapping file."""

    name = NAME
    title = "Excel workbooks (.xlsx), with a mapping file (docs/formats.md)"

    def recognises(self, head: bytes) -> bool:
        """Whether it begins like a workbook; old ones and other documents of the kind are told for what they are."""
        return looks_like_workbook(head)

    def may_be(self, head: bytes) -> bool:
        """Whether it is a packed file or an old document: where the source has a mapping file, it was meant for this format."""
        return looks_like_workbook(head) or head.startswith(b"PK")

    def read(self, stream: BinaryIO, conventions: Conventions) -> Reading:
        """Read a sheet by the source's mapping file; nothing of it without one. An archive shows by its end whether it is whole."""
        return Reading(_parts(stream, conventions), tells_its_end=True)

    def header(self, stream: BinaryIO) -> list[str]:
        """Give the names in the first row that is not empty of the only visible sheet; ContentError where there is none."""
        book = OpenWorkbook(stream)
        for _, cells in book.rows(book.sheet(None)):
            return _names(cells)
        raise ContentError("header-missing", "there is no row in it")

    def describe(self) -> tuple[Described, ...]:
        """Every field that a column may fill."""
        return describe_fields()


def _parts(stream: BinaryIO, conventions: Conventions) -> Iterator[Part]:
    columns = columns_of(conventions)
    try:
        book = OpenWorkbook(stream)  # first of all: what is no workbook is told for what it is
        if columns is None:
            yield Unread.of(ContentError("columns-missing", _SAYS_NOTHING).problems)
            return
        sheet, rows = _opened(book, columns)
        if columns.shows_no_order(conventions):
            conventions = with_order_shown(conventions, columns, _records(rows, sheet, columns))
            sheet, rows = _opened(book, columns)
    except ContentError as error:
        yield Unread.of(error.problems)
        return
    yield from parts_of_records(_records(rows, sheet, columns), columns, conventions, NAME)


def _opened(book: OpenWorkbook, columns: Columns) -> tuple[_Sheet, Iterator[tuple[int, list[Cell]]]]:
    """The sheet with its header, and the rows behind it."""
    title = book.sheet(columns.table.sheet)
    rows = book.rows(title)
    header = next((cells for number, cells in rows if number > columns.table.above_header), None)
    if header is None:
        raise ContentError("file-empty", "there is no header in the sheet", value=title)
    given = _names(header)
    return _Sheet(title, given, resolve_header(given, columns)), rows


class _Sheet:
    """A sheet with its header: the names that stand there, and those that the mapping file gives the columns."""

    def __init__(self, title: str, given: list[str], names: list[str]) -> None:
        self.given = given
        self.names = names
        self._title = title if re.fullmatch(r"\w+", title) else "'" + title.replace("'", "''") + "'"
        self._letters = {name: _letters(number) for number, name in enumerate(names, 1)}

    def path(self, column: int, row: int) -> str:
        """Where a cell stands, as Excel says it: `Sheet1!C12`."""
        return f"{self._title}!{_letters(column)}{row}"

    def paths(self, row: int) -> Callable[[str], str]:
        """Give the paths of the cells of a row, by column."""
        return lambda name: f"{self._title}!{self._letters[name]}{row}" if name in self._letters else f"{self._title}!{row}:{row}"


def _records(rows: Iterator[tuple[int, list[Cell]]], sheet: _Sheet, columns: Columns) -> Iterator[Record | Unread]:
    try:
        for number, cells in rows:
            beyond = next((cell for cell in cells if cell.column > len(sheet.names)), None)
            if beyond is not None:
                text = "a cell beyond the last column of the header"
                yield Unread.of(ContentError("row-ragged", text).problems, number, sheet.path(beyond.column, number))
            elif _names(cells) != sheet.given:  # else a header that stands there again
                yield _record(number, cells, sheet, columns)
    except ContentError as error:
        yield Unread.of(error.problems)


def _record(number: int, cells: list[Cell], sheet: _Sheet, columns: Columns) -> Record:
    texts = dict.fromkeys(sheet.names, "")
    numbers: set[str] = set()
    problems: dict[str, LocatedProblem] = {}
    for cell in cells:
        name = sheet.names[cell.column - 1]
        if cell.wrong:
            code, text = _WRONG[cell.wrong]
            problem = ContentError(code, text, value=cell.value or None).problems[0]
            problems[name] = LocatedProblem(problem, Place(sheet.path(cell.column, number), number))
            texts[name] = "?" if name in columns.rows.key else ""  # so that it is taken for nobody else's row
        elif (padded := _padded(cell)) is not None:
            texts[name] = padded
        else:
            texts[name] = _text(cell, columns)
            numbers |= {name} if is_number(cell.value) else set()
    told = tuple(problem for name, problem in problems.items() if name not in columns.not_taken)
    return Record(texts, number, frozenset(numbers), sheet.paths(number), told)


def _padded(cell: Cell) -> str | None:
    """A code that the number format of its cell shows with its zeros: 000417 under the format 000000."""
    if isinstance(cell.value, int) and not isinstance(cell.value, bool) and cell.value >= 0 and _PADDED.fullmatch(cell.number_format):
        return str(cell.value).zfill(len(cell.number_format))
    return None


def _text(cell: Cell, columns: Columns) -> str:
    value: Any = cell.value
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, datetime) and value.time() == time() and "h" not in cell.number_format.lower():
        value = value.date()
    return text_of(value if isinstance(value, str | int | float | date | time) else str(value), columns)


def _names(cells: list[Cell]) -> list[str]:
    """The texts of a row, from its first column on."""
    last = max(cell.column for cell in cells)
    texts: Mapping[int, str] = {cell.column: str(cell.value) for cell in cells}
    return [texts.get(column, "") for column in range(1, last + 1)]


def _letters(column: int) -> str:
    text = ""
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text


FORMAT = ExcelFiles()
