"""Excel workbooks (.xlsx, .xlsm), opened with bounds: what is in the archive is judged by its directory before anything of it is unpacked.

Read by openpyxl, row by row, with defusedxml (no entities). Macros, links to other files, pictures and comments are never looked at.
"""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO
from xml.etree.ElementTree import ParseError
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from lxml import etree

from schemas.errors import ContentError, shown

if TYPE_CHECKING:
    from openpyxl import Workbook

MEMBERS = 5_000  # parts of a workbook
SHEET_BYTES = 256 * 1024 * 1024  # one sheet, unpacked; it is read as a stream
STRINGS_BYTES = 32 * 1024 * 1024  # the texts that sheets share: they are kept in memory
PART_BYTES = 8 * 1024 * 1024  # any other part that is read: styles, names, relations
ROWS = 1_048_576  # Excel's own limit
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK\x03\x04"
_ENCRYPTED = 0x1
# What openpyxl, the archive and the XML parsers raise over damaged workbooks; and an OSError that no system call has made.
_BROKEN = (
    BadZipFile, zlib.error, ParseError, etree.XMLSyntaxError, EOFError, NotImplementedError,
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip
_FORMULA = re.compile(rb"<(?:\w+:)?f[ >/]")


def looks_like_workbook(head: bytes) -> bool:
    """Whether a file begins like a workbook, old, new or encrypted, or like another document of the same kind."""
    return head.startswith(_OLE) or (head.startswith(_ZIP) and any(name in head for name in (b"[Content_Types].xml", b"_rels/", b"xl/")))


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that is not empty: its column from 1, its value (text, number, date or truth) and its number format.

    `wrong` says what is the matter with it: "error" (such as #REF!), "formula" (one whose result was never saved).
    """

    column: int
    value: Any
    number_format: str
    wrong: str = ""


class OpenWorkbook:
    """A workbook whose archive keeps within the bounds.

    ContentError `workbook-old` (.xls, or encrypted), `workbook-foreign` (no workbook, or .xlsb), `workbook-too-large`, `workbook-broken`.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._formulas = _check(stream)
        self._book = self._load(data_only=True)

    def _load(self, *, data_only: bool) -> Workbook:
        from openpyxl import load_workbook  # noqa: PLC0415  costs 200 ms, which commands without a workbook need not pay

        warnings.filterwarnings("ignore", module="openpyxl")  # of what it leaves out: we read cells only
        with _damage_told():
            return load_workbook(self._stream, read_only=True, data_only=data_only, keep_links=False, keep_vba=False)

    def sheet(self, name: str | None) -> str:
        """Give the name of the sheet to read: the one named, or the only visible one; ContentError `sheet-missing`, `sheet-unnamed`."""
        sheets = self._book.worksheets
        known = ", ".join(repr(shown(each.title, 40)) for each in sheets[:10])
        if name is not None:
            if name not in [each.title for each in sheets]:
                raise ContentError("sheet-missing", f"the workbook has no such sheet; there are: {known}", value=name)
            return name
        visible = [each.title for each in sheets if each.sheet_state == "visible"]
        if len(visible) != 1:
            raise ContentError("sheet-unnamed", f"name the sheet in the mapping file (table.sheet); the workbook has: {known}")
        return str(visible[0])

    def rows(self, sheet: str) -> Iterator[tuple[int, list[Cell]]]:
        """Give the rows of a sheet that are not empty, each with its number from 1; ContentError `workbook-broken` where one is damaged."""
        with _damage_told():
            for number, (cells, formulas) in enumerate(self._paired(sheet), 1):
                found = [_cell(cell, formula) for cell, formula in zip(cells, formulas, strict=True)]
                if row := [cell for cell in found if cell is not None]:
                    yield number, row

    def _paired(self, sheet: str) -> Iterator[tuple[Any, Any]]:
        """Each row twice where the workbook has formulas: with their results, and with themselves."""
        results = _rows_of(self._book, sheet)
        if not self._formulas:
            yield from ((row, row) for row in results)
        else:
            yield from zip(results, _rows_of(self._load(data_only=False), sheet), strict=True)


def _rows_of(book: Workbook, name: str) -> Iterator[Any]:
    sheet: Any = book[name]
    sheet.reset_dimensions()  # what a file says of its own size may be wrong, and would cut cells off
    return iter(sheet.iter_rows(max_row=ROWS))


def _cell(cell: Any, formula: Any) -> Cell | None:
    value, kind = cell.value, cell.data_type
    if formula.data_type == "f" and value is None and kind == "n":
        return Cell(cell.column, "", "General", "formula")
    if value is None or value == "":
        return None
    if kind == "e":
        return Cell(cell.column, str(value), "General", "error")
    return Cell(cell.column, value, cell.number_format if kind in ("n", "d") else "General")


def _check(stream: BinaryIO) -> bool:
    """Judge a workbook by the directory of its archive. Gives whether a formula stands in any of its sheets."""
    stream.seek(0)
    if stream.read(8) == _OLE:
        raise ContentError("workbook-old", "an old .xls, or a workbook under a password: save it as .xlsx without one")
    with _damage_told(), ZipFile(stream) as archive:
        _check_members(archive.infolist())
        sheets = [member for member in archive.infolist() if member.filename.startswith("xl/worksheets/")]
        return any(_has_formulas(archive, sheet) for sheet in sheets)


def _check_members(members: list[ZipInfo]) -> None:
    names = {member.filename for member in members}
    if len(members) > MEMBERS:
        raise ContentError("workbook-too-large", f"a workbook has at most {MEMBERS:,} parts", value=len(members))
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise ContentError("workbook-old", "a workbook under a password: save it without one")
    if "xl/workbook.bin" in names:
        raise ContentError("workbook-foreign", "a binary workbook (.xlsb): save it as .xlsx")
    if not any(name.startswith("xl/") for name in names):
        raise ContentError("workbook-foreign", "a packed file without a workbook in it")
    for member in members:
        limit = _limit_of(member.filename)
        if limit is not None and member.file_size > limit:
            raise ContentError(
                "workbook-too-large", f"{shown(member.filename, 60)} unpacks to more than {limit:,} bytes", value=member.file_size
            )
        if limit is not None and member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise ContentError("workbook-foreign", "packed in another way than workbooks are", value=member.compress_type)


def _limit_of(name: str) -> int | None:
    """The bound on a part; None for one that is never read, such as a picture."""
    lower = name.lower()
    if not lower.endswith((".xml", ".rels")):
        return None
    if lower.startswith("xl/worksheets/"):
        return SHEET_BYTES
    return STRINGS_BYTES if "sharedstrings" in lower else PART_BYTES


def _has_formulas(archive: ZipFile, sheet: ZipInfo) -> bool:
    with archive.open(sheet) as packed:
        before = b""
        while chunk := packed.read(256 * 1024):
            if _FORMULA.search(before + chunk):
                return True
            before = chunk[-40:]
    return False


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise ContentError("workbook-broken", f"not a whole workbook, or a damaged one: {error}") from None
    except _BROKEN as error:
        raise ContentError("workbook-broken", f"not a whole workbook, or a damaged one ({type(error).__name__})") from None
