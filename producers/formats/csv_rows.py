"""From the bytes of a CSV file to its rows: encodings, lines and quotes, each within bounds. What is wrong names the file's own line.

Python's own csv module takes the lines apart, in its strict way. How rows become declarations is not asked here.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from producers.formats.reading import Unread
from schemas.errors import ContentError

LINE_BYTES = 256 * 1024  # one line of the file; a cell is at most 131,072 characters (the csv module's own bound)
ROW_CHARACTERS = 1024 * 1024  # one row, which may go over many lines
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_CHUNK = 64 * 1024
DOS_END = b"\x1a"  # programs of the days of DOS end a file with it


class Row:
    """A row as it stands in the file: its cells, and the line that it begins on."""

    __slots__ = ("cells", "line")

    def __init__(self, cells: list[str], line: int) -> None:
        self.cells = cells
        self.line = line


def begin(lines: Iterator[str], count: int) -> tuple[list[str], Iterator[str]]:
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


def rows_of(lines: Iterator[str], delimiter: str, above: int = 0) -> Iterator[Row | Unread]:
    """Take rows from lines, leaving out blank ones. What is broken ends it: nobody can tell where the next row begins."""
    feed = _Feed(lines)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        begins = above + reader.line_num + 1
        feed.taken = 0
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Unread.of(ContentError("csv-broken", f"{_what_is_broken(error)}; the rest is not read").problems, begins)
            return
        except ContentError as error:
            yield Unread.of(error.problems, above + reader.line_num + 1)
            return
        if cells is None:
            return
        if cells and any(cell.strip() for cell in cells):
            yield Row(cells, begins)


def _what_is_broken(error: csv.Error) -> str:
    if "new-line character" in str(error):
        return "a line ends with CR alone: end lines with LF or CR LF"
    return f"a quote is missing, or stands where none may ({error})"


class _Feed:
    """Lines for the csv module, with a bound on what one row may take of them."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines_of = lines
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.lines_of)
        self.taken += len(line)
        if self.taken > ROW_CHARACTERS:
            raise ContentError(
                "row-too-large", f"a row has at most {ROW_CHARACTERS:,} characters: a quote may be missing; the rest is not read"
            )
        return line


def lines_of(stream: BinaryIO, named: str | None) -> Iterator[str]:
    """Decode the lines of a file, each with its end; ContentError `csv-encoding` at the first that is not in the encoding, or too long."""
    stream.seek(0)
    start = stream.read(4)
    bom, marked = next(((bom, encoding) for bom, encoding in BOMS if start.startswith(bom)), (b"", None))
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
        yield text if text.endswith("\n") else text.removesuffix(DOS_END.decode())


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
