"""CSV: text whose rows are parted by line ends and whose cells by a comma, semicolon, tab or bar (RFC 4180 and its kin).

The file is read as its mapping file says, row by row, by Python's own csv module in its strict way; encodings are never guessed. What is
wrong names the file's own line. How rows make declarations stands in `grouping`.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import BinaryIO

from producers.formats.columns import Columns, compared
from producers.formats.describing import describe_fields
from producers.formats.grouping import parts_of_records
from producers.formats.reading import HEAD_BYTES, Conventions, Described, Part, Reading, Unread
from producers.formats.rows import Record, resolve_header
from schemas.errors import ContentError

DELIMITERS = (",", ";", "\t", "|")
LINE_BYTES = 256 * 1024  # one line of the file; a cell is at most 131,072 characters (the csv module's own bound)
ROW_CHARACTERS = 1024 * 1024  # one row, which may go over many lines
HEADER_LINES = 60  # lines within which the header must have come: those above it, and its own
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_CHUNK = 64 * 1024
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
        columns = conventions.columns
        if columns is None:
            text = "a CSV file says nothing by itself: name its mapping file (posts.NAME.reading.columns, or --columns FILE)"
            hint = "; 'panj formats columns FILE' proposes one"
            return Reading(iter((Unread.of(ContentError("columns-missing", text + hint).problems),)), tells_its_end=False)
        return Reading(_parts(stream, columns, conventions), tells_its_end=False)

    def header(self, stream: BinaryIO) -> list[str]:
        """Give the names in the first row, by the delimiter that parts it into most; ContentError where there is none."""
        begun, _ = _begin(_lines(stream, None), HEADER_LINES)
        rows = [next(_rows(iter(begun), delimiter), None) for delimiter in DELIMITERS]
        headers = [row.cells for row in rows if isinstance(row, _Row)]
        if not headers:
            raise ContentError("header-missing", "there is no row that could be a header; text that is not UTF-8 is saved as UTF-8 first")
        return max(headers, key=len)

    def describe(self) -> tuple[Described, ...]:
        """Every field that a column may fill."""
        return describe_fields()


class _Row:
    """A row as it stands in the file: its cells, and the line that it begins on."""

    __slots__ = ("cells", "line")

    def __init__(self, cells: list[str], line: int) -> None:
        self.cells = cells
        self.line = line


def _parts(stream: BinaryIO, columns: Columns, conventions: Conventions) -> Iterator[Part]:
    above = columns.table.above_header
    begun, rest = _begin(_lines(stream, columns.table.encoding), above + HEADER_LINES)
    delimiter = columns.table.delimiter or _delimiter(begun[above:], columns)
    rows = _rows(chain(begun[above:], rest), delimiter, above)
    header = next(rows, None)
    if not isinstance(header, _Row):
        yield header or Unread.of(ContentError("file-empty", "there is no header in it").problems)
        return
    try:
        names = resolve_header(header.cells, columns)
    except ContentError as error:
        yield Unread.of(error.problems, header.line)
        return
    yield from parts_of_records(_records(rows, header, names), columns, conventions, NAME)


def _begin(lines: Iterator[str], count: int) -> tuple[list[str], Iterator[str]]:
    """Read the first lines of a file, up to so many; what is wrong with one of them comes in its turn, behind those before it."""
    begun: list[str] = []
    try:
        begun.extend(islice(lines, count))
    except ContentError as error:
        return begun, _failing(error)
    return begun, lines


def _failing(error: ContentError) -> Iterator[str]:
    raise error
    yield ""  # makes it an iterator


def _records(rows: Iterable[_Row | Unread], header: _Row, names: Sequence[str]) -> Iterator[Record | Unread]:
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
    header = next(_rows(iter(lines), delimiter), None)
    return sum(compared(cell) in columns.spellings for cell in header.cells) if isinstance(header, _Row) else 0


def _rows(lines: Iterator[str], delimiter: str, above: int = 0) -> Iterator[_Row | Unread]:
    """Take rows from lines, leaving out blank ones. What is broken ends it: nobody can tell where the next row begins."""
    feed = _Feed(lines)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        begins = above + reader.line_num + 1
        feed.taken = 0
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Unread.of(
                ContentError("csv-broken", f"{error}: a quote is missing or stands where none may; the rest is not read").problems, begins
            )
            return
        except ContentError as error:
            yield Unread.of(error.problems, above + reader.line_num + 1)
            return
        if cells is None:
            return
        if cells and any(cell.strip() for cell in cells):
            yield _Row(cells, begins)


class _Feed:
    """Lines for the csv module, with a bound on what one row may take of them."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken += len(line)
        if self.taken > ROW_CHARACTERS:
            raise ContentError(
                "row-too-large", f"a row has at most {ROW_CHARACTERS:,} characters: a quote may be missing; the rest is not read"
            )
        return line


def _lines(stream: BinaryIO, named: str | None) -> Iterator[str]:
    """Decode the lines of a file, each with its end; ContentError `csv-encoding` at the first that is not in the encoding, or too long."""
    start = stream.read(4)
    bom, marked = next(((bom, encoding) for bom, encoding in _BOMS if start.startswith(bom)), (b"", None))
    if named and marked and not marked.startswith(named):
        raise ContentError("csv-encoding", f"the mapping file says {named}, and the file begins with the mark of {marked}")
    encoding = marked or named or "utf-8"
    if encoding == "utf-16":
        encoding = "utf-16-le"  # as Windows writes it; one that begins with its mark has been told already
    stream.seek(len(bom))
    yield from _utf16_lines(stream, encoding) if encoding.startswith("utf-16") else _byte_lines(stream, encoding)


def _byte_lines(stream: BinaryIO, encoding: str) -> Iterator[str]:
    while line := stream.readline(LINE_BYTES + 1):
        if len(line) > LINE_BYTES:
            raise ContentError("row-too-large", f"a line has at most {LINE_BYTES:,} bytes; the rest is not read")
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError as error:
            raise _undecodable(encoding, line[error.start : error.start + 8]) from None
        if "\0" in text:
            text = "zero bytes: UTF-16 without its mark is read where the mapping file names it (table.encoding); the rest is not read"
            raise ContentError("csv-encoding", text)
        yield text


def _utf16_lines(stream: BinaryIO, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    pending, ended = "", False
    while not ended:
        raw = stream.read(_CHUNK)
        ended = not raw
        try:
            pending += decoder.decode(raw, final=ended)
        except UnicodeDecodeError as error:
            raise _undecodable(encoding, error.object[error.start : error.start + 8]) from None
        *whole, pending = pending.split("\n")
        yield from (line + "\n" for line in whole)
        if len(pending) > LINE_BYTES:
            raise ContentError("row-too-large", f"a line has at most {LINE_BYTES:,} characters; the rest is not read")
    if pending:
        yield pending


def _undecodable(encoding: str, raw: bytes) -> ContentError:
    text = f"not {encoding}: name the encoding in the mapping file (table.encoding), or save the file as UTF-8; the rest is not read"
    return ContentError("csv-encoding", text, value=raw.hex(" "))


def _text_of(head: bytes) -> str | None:
    """The beginning of a file as text, letters beyond ASCII as they may be; None where it is none, or that of XML or JSON."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            text = head[len(bom) :].decode(encoding, "replace")
            break
    else:
        text = head.decode("latin-1") if _TEXT.issuperset(head) else ""
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
