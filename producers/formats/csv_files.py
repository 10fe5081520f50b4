"""CSV: text whose rows are parted by line ends and whose cells by a comma, semicolon, tab or bar (RFC 4180 and its kin).

The file is read as its mapping file says, row by row. Its bytes become rows in `csv_rows`; how rows make declarations stands in `grouping`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import BinaryIO

from producers.formats.columns import Columns, columns_of
from producers.formats.csv_rows import BOMS, DOS_END, Row, begin, lines_of, rows_of
from producers.formats.describing import describe_fields
from producers.formats.grouping import parts_of_records, with_order_shown
from producers.formats.reading import HEAD_BYTES, Conventions, Described, Part, Reading, Unread
from producers.formats.rows import Record, resolve_header
from producers.formats.uses import compared
from schemas.errors import ContentError

DELIMITERS = (",", ";", "\t", "|")
HEADER_LINES = 60  # lines within which the header must have come: those above it, and its own
_STATED = re.compile(r"sep=([,;\t|])\r?\n?")  # a first line by which Excel is told the delimiter, and tells it
_TEXT = frozenset({*range(0x20, 0x7F), *range(0x80, 0x100), *b"\t\n\r\f"})
NAME = "csv"


class CsvFiles:
    """Rows of text, read by the source's mapping file."""

    name = NAME
    title = "rows parted by commas, semicolons, tabs or bars, with a mapping file (docs/formats.md)"

    def recognises(self, head: bytes) -> bool:
        """Whether it is clearly rows of cells: text, and its first rows have the same three or more cells under one of the delimiters."""
        text = _text_of(head)
        return text is not None and any(_is_table(text, delimiter, whole=len(head) < HEAD_BYTES) for delimiter in DELIMITERS)

    def may_be(self, head: bytes) -> bool:
        """Whether it is text at all: where the source has a mapping file and no other format knows the file, it was meant for this one."""
        return _text_of(head) is not None

    def read(self, stream: BinaryIO, conventions: Conventions) -> Reading:
        """Read a file by the source's mapping file; nothing of it without one."""
        columns = columns_of(conventions)
        if columns is None:
            text = "a CSV file says nothing by itself: name its mapping file (posts.NAME.reading.columns, or --columns FILE)"
            hint = "; 'panj formats columns FILE' proposes one"
            return Reading(iter((Unread.of(ContentError("columns-missing", text + hint).problems),)), tells_its_end=False)
        return Reading(_parts(stream, columns, conventions), tells_its_end=False)

    def header(self, stream: BinaryIO) -> list[str]:
        """Give the names in the first row, by the delimiter that parts it into most; ContentError where there is none."""
        begun, _ = begin(lines_of(stream, None), HEADER_LINES)
        rows = [next(rows_of(iter(begun), delimiter), None) for delimiter in DELIMITERS]
        headers = [row.cells for row in rows if isinstance(row, Row)]
        if not headers:
            raise ContentError("header-missing", "there is no row that could be a header; text that is not UTF-8 is saved as UTF-8 first")
        return max(headers, key=len)

    def describe(self) -> tuple[Described, ...]:
        """Every field that a column may fill."""
        return describe_fields()


def _parts(stream: BinaryIO, columns: Columns, conventions: Conventions) -> Iterator[Part]:
    records = _opened(stream, columns)
    if isinstance(records, Unread):
        yield records
        return
    if columns.shows_no_order(conventions):
        conventions = with_order_shown(conventions, columns, records)
        records = _opened(stream, columns)
    if not isinstance(records, Unread):
        yield from parts_of_records(records, columns, conventions, NAME)


def _opened(stream: BinaryIO, columns: Columns) -> Iterator[Record | Unread] | Unread:
    """The records of a file from its beginning, or why it has none."""
    above = columns.table.above_header
    begun, rest = begin(lines_of(stream, columns.table.encoding), above + HEADER_LINES)
    delimiter: str | None = columns.table.delimiter
    if (stated := _STATED.fullmatch(begun[0]) if begun else None) is not None:
        above, delimiter = max(above, 1), delimiter or stated[1]
    rows = rows_of(chain(begun[above:], rest), delimiter or _delimiter(begun[above:], columns), above)
    header = next(rows, None)
    if not isinstance(header, Row):
        return header or Unread.of(ContentError("file-empty", "there is no header in it").problems)
    try:
        names = resolve_header(header.cells, columns)
    except ContentError as error:
        return Unread.of(error.problems, header.line)
    return _records(rows, header, names)


def _records(rows: Iterable[Row | Unread], header: Row, names: Sequence[str]) -> Iterator[Record | Unread]:
    for row in rows:
        if isinstance(row, Unread):
            yield row
        elif row.cells == header.cells:
            continue  # a header that each page of a report begins with
        elif len(row.cells) < len(names) or any(cell.strip() for cell in row.cells[len(names) :]):
            text = (
                f"the row has {len(row.cells)} cells, and the header {len(names)}: a delimiter or a quote is missing, or stands too often"
            )
            yield Unread.of(ContentError("row-ragged", text).problems, row.line)
        else:
            yield Record(dict(zip(names, row.cells, strict=False)), row.line)


def _delimiter(lines: Sequence[str], columns: Columns) -> str:
    """The delimiter under which the header has most of the mapping's columns."""
    return max(DELIMITERS, key=lambda delimiter: _names_known(lines, delimiter, columns))


def _names_known(lines: Sequence[str], delimiter: str, columns: Columns) -> int:
    header = next(rows_of(iter(lines), delimiter), None)
    return sum(compared(cell) in columns.spellings for cell in header.cells) if isinstance(header, Row) else 0


def _text_of(head: bytes) -> str | None:
    """The beginning of a file as text, letters beyond ASCII as they may be; None where it is none, or that of XML or JSON."""
    for bom, encoding in BOMS:
        if head.startswith(bom):
            text = head[len(bom) :].decode(encoding, "replace")
            break
    else:
        text = whole.decode("latin-1") if _TEXT.issuperset(whole := head.removesuffix(DOS_END)) else ""
    return None if text.lstrip()[:1] in ("", "<", "{", "[") else text


def _is_table(text: str, delimiter: str, *, whole: bool) -> bool:
    try:
        rows = [row for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter) if any(cell.strip() for cell in row)]
    except csv.Error:
        return False
    complete = rows if whole else rows[:-1]  # the last may be cut off
    counts = {len(row) for row in complete[:3]}
    return len(counts) == 1 and counts.pop() >= 3


FORMAT = CsvFiles()
