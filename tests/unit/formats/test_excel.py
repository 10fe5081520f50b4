"""Excel workbooks: cells as Excel keeps them, sheets, and what is refused before it is unpacked."""

from __future__ import annotations

import io
import re
import tracemalloc
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from producers.formats.columns_files import read_columns
from producers.formats.excel import FORMAT
from producers.formats.reading import Conventions, Part, ReadDeclaration, Unread
from producers.formats.registry import format_of, load_formats
from schemas.content import validate
from tests.unit.formats.tables import HEADER, ITEMS, ONE_A_ROW, codes_of, conventions, numbers_of, read_of, row


def made(rows: Sequence[Sequence[Any]], header: Sequence[Any] = HEADER, change: Callable[[Workbook], None] = lambda book: None) -> bytes:
    """Write a workbook of one sheet `Data`; texts stay texts."""
    book = Workbook()
    sheet = book.active
    sheet.title = "Data"
    for line in (header, *rows):
        sheet.append(line)
    change(book)
    raw = io.BytesIO()
    book.save(raw)
    return raw.getvalue()


def parts_of(raw: bytes, mapping: str = ONE_A_ROW) -> list[Part]:
    return list(FORMAT.read(io.BytesIO(raw), Conventions(columns=read_columns(mapping))).parts)


def repacked(raw: bytes, change: Callable[[str, bytes], bytes | None], more: dict[str, bytes] | None = None) -> bytes:
    """Write a workbook again with some of its parts changed, or left out."""
    made = io.BytesIO()
    with ZipFile(io.BytesIO(raw)) as old, ZipFile(made, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            if (data := change(name, old.read(name))) is not None:
                new.writestr(name, data)
        for name, data in (more or {}).items():
            new.writestr(name, data)
    return made.getvalue()


def test_rows_of_a_sheet_become_declarations_that_are_whole() -> None:
    raw = made([row("1", goods="Семент"), row("2")])
    assert format_of(raw[:4096], load_formats()) is FORMAT
    reading = FORMAT.read(io.BytesIO(raw), conventions(ONE_A_ROW))
    assert reading.tells_its_end
    first, second = (read_of(part) for part in reading.parts)
    assert (first.line, first.data["items"][0]["description"]) == (2, "Семент")
    assert first.place_of("items.0.hs_code").path == "Data!D2"
    for read in (first, second):
        validate(read.type, read.data)


def test_dates_and_numbers_are_taken_as_excel_keeps_them() -> None:
    mapping = ONE_A_ROW + 'At = "accepted_at"\n[table]\ntime_zone = "Asia/Dushanbe"\ndecimal = ","\n'
    at = datetime(2026, 3, 4, 8, 15)
    raw = made(
        [("TJ020", "1", date(2026, 3, 4), "252329", "x", 0.1 + 0.2, at), ("TJ020", "2", at, "252329", "x", "1,5", None)], (*HEADER, "At")
    )
    first, second = (read_of(part).data for part in parts_of(raw, mapping))
    assert (first["registered_on"], first["accepted_at"], first["items"][0]["net_mass_kg"]) == (
        "2026-03-04",
        "2026-03-04T08:15:00+05:00",
        "0.3",
    )
    assert (second["registered_on"], second["items"][0]["net_mass_kg"]) == ("2026-03-04", "1.5")


def test_dates_of_a_workbook_that_counts_from_1904_are_the_same_days() -> None:
    def from_1904(book: Workbook) -> None:
        book.epoch = CALENDAR_MAC_1904

    raw = made([("TJ020", "1", date(2026, 3, 4), "252329", "x", 1)], change=from_1904)
    assert b'date1904="1"' in ZipFile(io.BytesIO(raw)).read("xl/workbook.xml")
    assert read_of(parts_of(raw)[0]).data["registered_on"] == "2026-03-04"


def test_the_order_of_dates_in_text_cells_is_learned_from_the_whole_sheet() -> None:
    parts = parts_of(made([row("1", date="04.03.2026"), row("2", date="04.13.2026")]))
    assert [read_of(part).data["registered_on"] for part in parts] == ["2026-04-03", "2026-04-13"]


def test_a_bare_number_or_a_time_is_no_date() -> None:
    (part,) = parts_of(made([("TJ020", "1", 46085, "252329", "x", 1)]))
    assert isinstance(part, Unread)
    assert (part.problems[0].code, part.problems[0].place.path, part.problems[0].problem.value) == ("cell-number", "Data!C2", "46085")
    assert codes_of(parts_of(made([("TJ020", "1", time(8, 15), "252329", "x", 1)]))) == ["date-invalid"]


def test_a_number_in_a_column_of_codes_is_taken_only_where_its_length_tells_that_no_zero_is_lost() -> None:
    rows = [
        ("TJ020", "1", "2026-03-01", 252329, "x", 1),
        ("TJ020", "2", "2026-03-01", 10121, "x", 1),
        ("TJ020", 3, "2026-03-01", "252329", "x", 1),
    ]
    parts = parts_of(made(rows))
    assert numbers_of(parts) == ["1"]
    assert codes_of(parts) == ["code-length", "cell-number"]
    whole = ONE_A_ROW.replace('Number = "registration_number"', 'Number = { field = "registration_number", digits = "any" }')
    assert numbers_of(parts_of(made(rows), whole)) == ["1", "3"]
    unsaid = ONE_A_ROW.replace(", digits = 6", "")
    assert codes_of(parts_of(made(rows), unsaid)) == ["cell-number"] * 3


def test_zeros_that_the_number_format_shows_are_part_of_the_code() -> None:
    def padded(book: Workbook) -> None:
        book["Data"]["B2"].number_format = "00000"

    assert numbers_of(parts_of(made([("TJ020", 417, "2026-03-01", "252329", "x", 1)], change=padded))) == ["00417"]


def test_formulas_give_their_saved_results_and_are_refused_without_them() -> None:
    raw = made([("TJ020", "1", "2026-03-01", "252329", "=E9", "=1+1"), row("2")])
    parts = parts_of(raw)
    assert numbers_of(parts) == ["2"]
    assert isinstance(parts[0], Unread)
    assert [(problem.code, problem.place.path) for problem in parts[0].problems] == [
        ("cell-formula", "Data!E2"),
        ("cell-formula", "Data!F2"),
    ]

    def saved(name: str, data: bytes) -> bytes:
        data = data.replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>").replace(b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2</v>")
        return re.sub(rb'<c r="E2"( t="\w+")?><f>E9</f><v ?/?>(</v>)?', b'<c r="E2" t="str"><f>E9</f><v>lime</v>', data)

    first = read_of(parts_of(repacked(raw, saved))[0]).data["items"][0]
    assert (first["description"], first["net_mass_kg"]) == ("lime", "2")


def test_what_a_sheet_says_of_its_own_size_is_not_believed() -> None:
    def lies(name: str, data: bytes) -> bytes:
        return re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:B2"', data)

    assert [read_of(part).data["items"][0]["hs_code"] for part in parts_of(repacked(made([row("1"), row("2")]), lies))] == ["252329"] * 2


def test_an_error_in_a_cell_is_refused_with_its_place() -> None:
    parts = parts_of(made([("TJ020", "1", "2026-03-01", "252329", "#REF!", 1), row("2")]))
    assert isinstance(parts[0], Unread)
    (located,) = parts[0].problems
    assert (located.code, located.place.path, located.problem.value) == ("cell-error", "Data!E2", "#REF!")
    assert numbers_of(parts) == ["2"]
    raw = made([(*row("1"), "#N/A")], header=(*HEADER, "Note"))
    assert numbers_of(parts_of(raw, 'not_taken = ["Note"]\n' + ONE_A_ROW)) == ["1"]


def test_a_row_with_nothing_but_an_error_is_not_passed_over() -> None:
    follows = ITEMS.replace("[rows]\n", '[rows]\nblank_key = "follows"\n')
    parts = parts_of(made([row("1"), (None, None, None, None, "#N/A", None), row("2")]), follows)
    assert numbers_of(parts) == ["2"]


def test_a_key_that_is_an_error_is_nobody_elses_row() -> None:
    mapping = ITEMS.replace("[rows]\n", '[rows]\nblank_key = "follows"\n')
    parts = parts_of(made([row("1"), ("#N/A", "#N/A", "", "252329", "x", "1"), row("2")]), mapping)
    assert numbers_of(parts) == ["1", "2"]
    assert codes_of(parts) == ["cell-error"]


def test_the_sheet_is_the_one_named_or_the_only_visible_one() -> None:
    def more(book: Workbook) -> None:
        book.create_sheet("My list", 0).append(["x"])

    def hidden(book: Workbook) -> None:
        more(book)
        book["My list"].sheet_state = "hidden"

    assert codes_of(parts_of(made([row("1")], change=more))) == ["sheet-unnamed"]
    assert numbers_of(parts_of(made([row("1")], change=hidden))) == ["1"]
    assert numbers_of(parts_of(made([row("1")], change=more), ONE_A_ROW + '\n[table]\nsheet = "Data"\n')) == ["1"]
    assert codes_of(parts_of(made([row("1")], change=more), ONE_A_ROW + '\n[table]\nsheet = "None"\n')) == ["sheet-missing"]
    assert codes_of(parts_of(made([row("1")], change=more), ONE_A_ROW + '\n[table]\nsheet = "My list"\n')) == ["header-missing"]


def test_titles_blank_rows_merged_cells_and_repeated_headers_are_as_in_a_text() -> None:
    raw = made(
        [HEADER, (), row("1"), (), HEADER, row("2", hs="1")],
        header=("Report of March",),
        change=lambda book: book["Data"].merge_cells("A1:F1"),
    )
    assert codes_of(parts_of(raw)) == ["header-missing"]
    parts = parts_of(raw, ONE_A_ROW + "\n[table]\nabove_header = 1\n")
    assert numbers_of(parts) == ["1"]
    assert isinstance(parts[1], Unread)
    assert parts[1].problems[0].place.path == "Data!D7"


def test_a_header_that_is_merged_over_two_rows_lacks_its_columns() -> None:
    raw = made([("", "", "", "code", "words", ""), row("1")], header=("Office", "Number", "Date", "Goods", "", "Net kg"))
    assert codes_of(parts_of(raw)) == ["column-missing"]


def test_a_cell_beyond_the_header_is_told_with_its_place() -> None:
    (part,) = parts_of(made([(*row("1"), None, "a note")]))
    assert isinstance(part, Unread)
    assert (part.problems[0].code, part.problems[0].place.path) == ("row-ragged", "Data!H2")


def test_without_a_mapping_file_nothing_of_it_is_read() -> None:
    assert codes_of(list(FORMAT.read(io.BytesIO(made([row("1")])), Conventions()).parts)) == ["columns-missing"]
    assert FORMAT.header(io.BytesIO(made([row("1")]))) == list(HEADER)


def code_of(raw: bytes) -> str:
    (part,) = parts_of(raw)
    assert isinstance(part, Unread)
    return part.problems[0].code


def test_what_is_no_workbook_of_today_is_told_for_what_it_is() -> None:
    whole = made([row("1")])
    old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5000)
    word = repacked(whole, lambda name, data: None if name.startswith("xl/") else data, {"word/document.xml": b"<a/>"})
    binary = repacked(whole, lambda name, data: data, {"xl/workbook.bin": b"x"})
    for raw, code in (
        (old, "workbook-old"),
        (word, "workbook-foreign"),
        (binary, "workbook-foreign"),
        (whole[: len(whole) // 2], "workbook-broken"),
    ):
        assert FORMAT.recognises(raw[:4096])
        assert code_of(raw) == code
    assert not FORMAT.recognises(b"PK\x03\x04" + bytes(100))
    assert code_of(b"PK\x03\x04" + bytes(100)) == "workbook-broken"


def test_a_password_is_told() -> None:
    raw = bytearray(made([row("1")]))
    at = -1
    while (at := raw.find(b"PK\x01\x02", at + 1)) >= 0:  # the flags in each entry of the directory
        raw[at + 8] |= 1
    assert code_of(bytes(raw)) == "workbook-old"


@pytest.mark.parametrize(
    ("name", "size"), [("xl/worksheets/sheet1.xml", 300), ("xl/sharedStrings.xml", 40), ("xl/styles.xml", 10), ("xl/theme/theme9.xml", 10)]
)
def test_a_part_that_would_unpack_to_too_much_is_refused_by_the_directory_alone(name: str, size: int) -> None:
    bomb = bytes(size * 1024 * 1024)
    raw = repacked(made([row("1")]), lambda known, data: None if known == name else data, {name: bomb})
    assert len(raw) < 1024 * 1024
    del bomb
    tracemalloc.start()
    assert code_of(raw) == "workbook-too-large"
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * 1024 * 1024


def test_a_directory_that_lies_about_a_size_is_found_out() -> None:
    raw = bytearray(repacked(made([row("1")]), lambda known, data: data, {"xl/worksheets/sheet2.xml": bytes(1024 * 1024)}))
    at = raw.rfind(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    assert code_of(bytes(raw)) == "workbook-broken"


def test_pictures_and_macros_are_not_looked_at_however_large() -> None:
    raw = repacked(made([row("1")]), lambda name, data: data, {"xl/media/image1.png": bytes(20 * 1024 * 1024), "xl/vbaProject.bin": b"x"})
    assert numbers_of(parts_of(raw)) == ["1"]


def test_other_packings_and_too_many_parts_are_refused() -> None:
    raw = io.BytesIO(made([row("1")]))
    with ZipFile(raw, "a", ZIP_LZMA) as archive:
        archive.writestr("xl/more.xml", b"<a/>")
    assert code_of(raw.getvalue()) == "workbook-foreign"
    many = repacked(made([row("1")]), lambda name, data: data, {f"xl/{number}": b"" for number in range(5_000)})
    assert code_of(many) == "workbook-too-large"


def test_entities_are_never_expanded() -> None:
    doctype = b'<!DOCTYPE x [<!ENTITY a "' + b"lol" * 1000 + b'">]>'

    def armed(name: str, data: bytes) -> bytes:
        if name != "xl/worksheets/sheet1.xml":
            return data
        return doctype + data.replace(b"<sheetData>", b"<sheetData>&a;&a;&a;")

    assert code_of(repacked(made([row("1")]), armed)) == "workbook-broken"


def test_a_row_number_beyond_excels_own_limit_ends_the_sheet() -> None:
    def far(name: str, data: bytes) -> bytes:
        return data.replace(b'<row r="3"', b'<row r="999999999999"') if name == "xl/worksheets/sheet1.xml" else data

    assert numbers_of(parts_of(repacked(made([row("1"), row("2")]), far))) == ["1"]


def test_thousands_of_rows_take_no_more_memory_than_a_few() -> None:
    def peak(declarations: int) -> int:
        raw, given = io.BytesIO(made([row(str(number)) for number in range(declarations)])), conventions(ONE_A_ROW)
        tracemalloc.start()
        assert sum(isinstance(part, ReadDeclaration) for part in FORMAT.read(raw, given).parts) == declarations
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(800) < peak(50) + 1_000_000


WHOLE = made([row("1"), ("TJ020", "2", date(2026, 3, 1), 252329, "=1", 1.5)])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_whatever_makes_it_fail(data: st.DataObject) -> None:
    raw = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    parts_of(bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_within_a_part_makes_it_fail(data: st.DataObject) -> None:
    names = [
        "xl/worksheets/sheet1.xml",
        "xl/workbook.xml",
        "xl/styles.xml",
        "xl/sharedStrings.xml",
        "[Content_Types].xml",
        "xl/_rels/workbook.xml.rels",
    ]
    chosen, piece = data.draw(st.sampled_from(names)), data.draw(st.binary(max_size=3) | st.sampled_from([b"9", b"-", b"", b'"', b"1e9"]))

    def damaged(name: str, part: bytes) -> bytes:
        if name != chosen:
            return part
        at = data.draw(st.integers(0, len(part) - 1))
        return part[:at] + piece + part[at + 1 :]

    parts_of(repacked(WHOLE, damaged))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp", "Cn", "Co")), min_size=1, max_size=30),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_in_a_sheet_is_read_as_it_was(texts: list[str]) -> None:
    mapping = 'type = "customs.export-declaration.v1"\nkept = ["A"]\n[columns]\nNo = "registration_number"\n'

    def as_text(book: Workbook) -> None:
        for number, text in enumerate(texts, 2):
            cell = book["Data"].cell(number, 2)
            cell.value, cell.data_type = text, "s"

    raw = made([(str(number), "x") for number in range(len(texts))], header=("No", "A"), change=as_text)
    kept = [read_of(part).data.get("extensions", {}).get("excel", {}).get("A", "") for part in parts_of(raw, mapping)]
    assert [" ".join(text.split()) for text in kept] == [" ".join(unicodedata.normalize("NFC", text).split()) for text in texts]
