"""CSV files: encodings, delimiters, quotes, headers and rows, good and broken."""

from __future__ import annotations

import io
import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.formats.csv_files import FORMAT
from producers.formats.reading import HEAD_BYTES, Conventions, ReadDeclaration, Unread
from producers.formats.registry import Reader, load_formats
from schemas.content import validate
from schemas.errors import ContentError
from tests.unit.formats.tables import (
    EXPORT,
    HEADER,
    ONE_A_ROW,
    codes_of,
    conventions,
    numbers_of,
    parts_of,
    read_of,
    row,
    told,
    written,
)


def test_a_row_becomes_a_declaration_that_is_whole() -> None:
    (part,) = parts_of(written([row("17", goods="portland cement, grey", net="1,5".replace(",", "."))]))
    read = read_of(part)
    assert read.type == EXPORT
    assert read.line == 2
    assert read.data == {
        "administration": "tj",
        "office_code": "TJ020",
        "registration_number": "17",
        "registered_on": "2026-03-01",
        "registration_year": 2026,
        "items": [{"number": 1, "hs_code": "252329", "description": "portland cement, grey", "net_mass_kg": "1.5"}],
    }
    validate(read.type, read.data)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_known_by_the_names_of_the_columns(delimiter: str) -> None:
    text = written([row("1", goods="a, b; c | d")], delimiter=delimiter)
    assert numbers_of(parts_of(text)) == ["1"]
    named = ONE_A_ROW + f'\n[table]\ndelimiter = "{delimiter}"\n'.replace("\t", "\\t")
    assert numbers_of(parts_of(text, named)) == ["1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_tell_of_themselves_are_read(encoding: str) -> None:
    (part,) = parts_of(written([row("1", goods="Семент, ҷавҳар ӣ")]).encode(encoding))
    assert read_of(part).data["items"][0]["description"] == "Семент, ҷавҳар ӣ"


@pytest.mark.parametrize(
    ("encoding", "goods"),
    [("cp1251", "Цемент серый"), ("cp1256", "سيمان ابيض"), ("cp866", "Цемент"), ("utf-16-le", "Семент"), ("utf-16-be", "Семент")],
)
def test_other_encodings_are_read_where_the_mapping_file_names_them_and_never_guessed(encoding: str, goods: str) -> None:
    raw = written([row("1", goods="lime"), row("2", goods=goods)]).encode(encoding)
    named = parts_of(raw, ONE_A_ROW + f'\n[table]\nencoding = "{encoding}"\n')
    assert [read_of(part).data["items"][0]["description"] for part in named] == ["lime", goods]
    unnamed = parts_of(raw)
    assert codes_of(unnamed)[0] in ("csv-encoding", "header-missing")


def test_a_byte_that_is_not_in_the_encoding_names_its_line() -> None:
    raw = written([row("1"), row("2"), row("3")]).encode().replace(b"cement", b"\xd6ement", 2).replace(b"\xd6", b"c", 1)
    parts = parts_of(raw)
    assert numbers_of(parts) == ["1"]
    assert told(parts[-1]) == ("csv-encoding", 3)


def test_a_mark_that_contradicts_the_named_encoding_is_refused() -> None:
    (part,) = parts_of(written([row("1")]).encode("utf-16"), ONE_A_ROW + '\n[table]\nencoding = "cp1251"\n')
    assert told(part)[0] == "csv-encoding"


def test_a_quoted_cell_may_go_over_lines_and_later_lines_keep_their_numbers() -> None:
    parts = parts_of(written([row("1", goods="first line\nsecond; line\nthird"), row("2", hs="12")]))
    assert read_of(parts[0]).data["items"][0]["description"] == "first line, second; line, third"
    assert told(parts[1]) == ("code-length", 5)


def test_a_row_with_another_number_of_cells_is_refused_and_the_others_are_taken() -> None:
    text = written([row("1"), row("2"), row("3")]).replace("TJ020,2,", "TJ020;2,")
    parts = parts_of(text)
    assert numbers_of(parts) == ["1", "3"]
    assert told(parts[1]) == ("row-ragged", 3)
    assert numbers_of(parts_of(written([(*row("1"), "", "")]))) == ["1"], "empty cells behind the last column say nothing"
    assert codes_of(parts_of(written([(*row("1"), "more")]))) == ["row-ragged"]


def test_a_missing_quote_ends_the_reading_at_its_line() -> None:
    text = written([row("1"), row("2"), row("3")]).replace("2,2026-03-01,252329,cement", '2,2026-03-01,252329,"cement')
    parts = parts_of(text)
    assert numbers_of(parts) == ["1"]
    assert told(parts[-1]) == ("csv-broken", 3)


def test_files_of_older_programs_are_read_or_told_for_what_they_are() -> None:
    text = written([row("1")])
    assert FORMAT.recognises(text.encode() + b"\x1a")
    assert numbers_of(parts_of(text + "\x1a")) == ["1"]
    (part,) = parts_of(text.replace("\r\n", "\r"))
    assert isinstance(part, Unread)
    assert part.problems[0].code == "csv-broken"
    assert "CR alone" in part.problems[0].problem.text


def test_a_table_of_too_many_columns_is_refused_at_its_header() -> None:
    assert codes_of(parts_of(written([], header=(*HEADER, *map(str, range(994)))))) == []
    assert codes_of(parts_of(written([], header=(*HEADER, *map(str, range(995)))))) == ["table-too-wide"]


def test_a_quote_that_never_ends_does_not_gather_the_file_in_memory() -> None:
    rows = written([row("1")]) + 'TJ020,2,"' + ("x" * 1000 + "\n") * 5000
    assert codes_of(parts_of(rows))[-1:] == ["csv-broken"]
    many = written([row("1")]) + '"' + '\n","' * 600_000
    assert codes_of(parts_of(many))[-1:] == ["row-too-large"]


def test_repeated_headers_and_blank_lines_are_passed_over() -> None:
    text = written([row("1"), HEADER, ("",) * 6, row("2")]).replace("\r\n", "\r\n\r\n")
    assert numbers_of(parts_of(text)) == ["1", "2"]


def test_lines_above_the_header_are_counted_where_the_mapping_file_tells_of_them() -> None:
    text = "Declarations of March\n\n" + written([row("1"), row("2", hs="1")])
    assert codes_of(parts_of(text)) == ["header-missing"]
    parts = parts_of(text, ONE_A_ROW + "\n[table]\nabove_header = 2\n")
    assert numbers_of(parts) == ["1"]
    assert told(parts[1]) == ("code-length", 5)


def test_a_first_line_that_states_the_delimiter_is_no_header() -> None:
    text = "sep=|\r\n" + written([row("1"), row("2", hs="1")], delimiter="|")
    parts = parts_of(text)
    assert numbers_of(parts) == ["1"]
    assert told(parts[1]) == ("code-length", 4)


def test_a_header_is_known_whatever_its_capitals_blanks_and_order() -> None:
    text = written(
        [("cement", "1000", "252329", "2026-03-01", "1", "TJ020")], header=(" goods", "NET  KG ", "hs", "date", "number", "Office")
    )
    assert numbers_of(parts_of(text)) == ["1"]


def test_a_header_that_lacks_a_column_names_the_nearest_one() -> None:
    (part,) = parts_of(written([row("1")], header=("Office", "Number", "Date", "HS code", "Goods", "Net kg")))
    assert isinstance(part, Unread)
    (located,) = part.problems
    assert (located.code, located.place.line, located.problem.value) == ("column-missing", 1, "HS")
    assert "'HS code'" in located.problem.text


def test_a_first_row_that_is_no_header_is_refused_for_that() -> None:
    (part,) = parts_of("\n".join(",".join(row(str(number))) for number in range(9)))
    assert told(part) == ("header-missing", 1)
    assert codes_of(parts_of(written([row("1")], header=("Office", "Number", "Date", "HS", "Goods", "office")))) == ["column-twice"]


def test_without_a_mapping_file_nothing_of_it_is_read() -> None:
    reading = FORMAT.read(io.BytesIO(written([row("1")]).encode()), Conventions())
    (part,) = reading.parts
    assert isinstance(part, Unread)
    assert part.problems[0].code == "columns-missing"
    assert "panj formats columns" in part.problems[0].problem.text


def test_columns_of_which_the_mapping_says_nothing_are_kept_with_one_warning() -> None:
    text = written([(*row("1"), "8.5", "x"), (*row("2"), "9", "")], header=(*HEADER, "Duty %", ""))
    first, second = (read_of(part) for part in parts_of(text))
    assert first.data["extensions"] == {"csv": {"Duty %": "8.5", "column 8": "x"}}
    assert [warning.code for warning in first.warnings] == ["column-unnamed"]
    assert second.data["extensions"] == {"csv": {"Duty %": "9"}}
    assert not second.warnings
    named = 'kept = ["Duty %"]\nnot_taken = ["column 8"]\n' + ONE_A_ROW
    assert [read_of(part).data.get("extensions") for part in parts_of(text, named)] == [
        {"csv": {"Duty %": "8.5"}},
        {"csv": {"Duty %": "9"}},
    ]


def test_a_problem_names_its_column_line_and_value() -> None:
    (part,) = parts_of(written([row("1", hs="12345")]))
    assert isinstance(part, Unread)
    (located,) = part.problems
    assert (located.place.path, located.place.line) == ("HS", 2)
    assert (located.problem.field, located.problem.value) == ("items.0.hs_code", "12345")


def test_what_validation_finds_later_is_told_with_its_column() -> None:
    (part,) = parts_of(written([row("1", goods="x" * 1999)]))
    place = read_of(part).place_of("items.0.description")
    assert (place.path, place.line) == ("Goods", 2)


KEPT = """
type = "customs.export-declaration.v1"
kept = ["A", "B", "C"]
[columns]
No = "registration_number"
"""
RECOGNISED = [
    written([row("1"), row("2")]),
    written([row("1")], delimiter=";"),
    "\ufeff" + written([]),
    'a;b;c\n"1\n2";3;4\n',
]


def test_clear_tables_are_recognised_in_any_encoding() -> None:
    for text in RECOGNISED:
        for encoding in ("utf-8", "utf-16"):
            assert FORMAT.recognises(text.encode(encoding)), text
    assert FORMAT.recognises(written([row("1", goods="Цемент")]).encode("cp1251"))
    assert FORMAT.recognises(written([row(str(number)) for number in range(2_000)]).encode()[:HEAD_BYTES])


@pytest.mark.parametrize(
    "raw",
    [
        b'<?xml version="1.0"?>\n<a>1,2,3</a>\n<b>1,2,3</b>',
        b"[1,2,3]\n[4,5,6]",
        b'\xef\xbb\xbf{"a": 1, "b": 2, "c": 3}',
        b"PK\x03\x04,a,b\n1,2,3\n",
        b"Dear sirs,\nas agreed, we send the papers, and wait.\nYours\n",
        b"UNB+UNOA:1+TJ020+AF010+261124:0815+1'\nUNH+1+CUSDEC:D:96B:UN'\n",
        b"one\ntwo\nthree\n",
        b"\x00\x01\x02,\x03,\x04\n",
        b"",
        b"\n\n",
    ],
)
def test_what_is_no_clear_table_is_not_recognised(raw: bytes) -> None:
    assert not FORMAT.recognises(raw)


def test_where_the_source_has_a_mapping_file_odd_text_is_refused_as_csv_for_what_it_is() -> None:
    reader = Reader(load_formats(), conventions(ONE_A_ROW))
    (part,) = reader.read(io.BytesIO(b"no table at all\n")).parts
    assert told(part) == ("header-missing", 1)
    with pytest.raises(ContentError, match="format-unknown"):
        reader.read(io.BytesIO(b"\x00\x01\x02"))
    with pytest.raises(ContentError, match="format-unknown"):
        Reader(load_formats()).read(io.BytesIO(b"no table at all\n"))


def test_ten_thousand_declarations_are_read_in_the_memory_of_a_few() -> None:
    def read(declarations: int) -> int:
        raw = io.BytesIO(written([row(str(number)) for number in range(declarations)]).encode())
        return sum(isinstance(part, ReadDeclaration) for part in FORMAT.read(raw, conventions(ONE_A_ROW)).parts)

    def peak(declarations: int) -> int:
        raw, given = io.BytesIO(written([row(str(number)) for number in range(declarations)]).encode()), conventions(ONE_A_ROW)
        tracemalloc.start()
        for _ in FORMAT.read(raw, given).parts:
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert read(10_000) == 10_000
    assert peak(2_000) < peak(100) + 500_000  # the keys that were seen: about 120 bytes each


CELL = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp")) | st.sampled_from('",;\t|'), max_size=30)


@given(
    cells=st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_is_written_as_csv_is_read_as_it_was(cells: list[list[str]], delimiter: str, encoding: str) -> None:
    rows = [(str(number), *line) for number, line in enumerate(cells, 1)]
    text = written(rows, header=("No", "A", "B", "C"), delimiter=delimiter)
    read = [read_of(part) for part in parts_of(text.encode(encoding), KEPT)]
    assert [one.data["registration_number"] for one in read] == [number for number, *_ in rows]
    for one, (_, *line) in zip(read, rows, strict=True):
        said = {name: unicodedata.normalize("NFC", cell.strip().replace("\t", " ")) for name, cell in zip("ABC", line, strict=True)}
        assert one.data.get("extensions", {}).get("csv", {}) == {name: cell for name, cell in said.items() if cell}


@given(
    st.binary(max_size=400),
    st.sampled_from(["", '\n[table]\nencoding = "cp1251"\n', '\n[table]\nencoding = "utf-16-be"\ndelimiter = "|"\n']),
)
def test_no_bytes_whatever_make_it_fail(raw: bytes, more: str) -> None:
    assert all(isinstance(part, Unread) for part in parts_of(raw, ONE_A_ROW + more))
    header = written([]).encode("utf-16-be" if "utf-16" in more else "utf-8")
    parts_of(header + raw, ONE_A_ROW + more)
    FORMAT.recognises(raw)
    FORMAT.may_be(raw)
