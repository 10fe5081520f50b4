"""How rows make declarations: items in rows, keys, totals, what rows share, and cells under the mapping file's conventions."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.formats.columns_files import read_columns
from producers.formats.grouping import DECLARATIONS, rows_to_parts
from producers.formats.reading import Conventions, Part, Unread
from schemas.content import validate
from schemas.drafts import missing
from schemas.errors import ContentError
from schemas.limits import ITEMS as MOST_ITEMS
from tests.unit.formats.tables import HEADER, ITEMS, ONE_A_ROW, TRANSIT, codes_of, numbers_of, parts_of, read_of, row, told, written


def goods_of(part: Part) -> list[tuple[int, str]]:
    return [(item["number"], item["description"]) for item in read_of(part).data["items"]]


def test_rows_of_one_key_are_the_items_of_one_declaration_numbered_as_they_stand() -> None:
    parts = parts_of(written([row("1", goods="a"), row("1", goods="b"), row("2", goods="c"), row("2", goods="d", office="TJ030")]), ITEMS)
    assert [goods_of(part) for part in parts] == [[(1, "a"), (2, "b")], [(1, "c")], [(1, "d")]]
    assert [read_of(part).line for part in parts] == [2, 4, 5]
    validate(read_of(parts[0]).type, read_of(parts[0]).data)
    assert read_of(parts[0]).place_of("items.1.hs_code").line == 3


def test_rows_with_a_blank_key_belong_to_the_one_above_where_the_mapping_file_says_so() -> None:
    text = written([row("1", goods="a"), ("", "", "", "252329", "b", "5"), row("2", goods="c")])
    assert codes_of(parts_of(text, ITEMS)) == ["row-keyless", "row-beside-unread", "row-beside-unread"]
    follows = ITEMS.replace("[rows]\n", '[rows]\nblank_key = "follows"\n')
    assert [goods_of(part) for part in parts_of(text, follows)] == [[(1, "a"), (2, "b")], [(1, "c")]]
    headless = written([("", "", "", "252329", "b", "5"), row("2", goods="c")])
    assert codes_of(parts_of(headless, follows))[0] == "row-keyless"


def test_a_declaration_that_has_no_number_yet_is_a_draft_and_a_row_without_goods_is_none() -> None:
    for mapping in (ONE_A_ROW, ONE_A_ROW.replace('key = ["Office", "Number"]\n', "")):
        drafts = parts_of(written([row("", office=""), row("1"), row("", office="", goods="lime")]), mapping)
        assert [missing(part.type, part.data) for part in map(read_of, drafts)] == [
            ("office_code", "registration_number"),
            (),
            ("office_code", "registration_number"),
        ]
        assert codes_of(parts_of(written([("", "", "", "", "", "5")]), mapping)) == ["row-keyless"]


def test_rows_that_say_nothing_are_passed_over() -> None:
    mapping = ITEMS + '[table]\nnothing = ["-"]\n'
    assert [
        goods_of(part) for part in parts_of(written([row("1", goods="a"), ("-", "", "-", "", "", ""), row("1", goods="b")]), mapping)
    ] == [[(1, "a"), (2, "b")]]


def test_a_sum_without_key_and_goods_is_no_item_of_the_declaration_above() -> None:
    follows = ITEMS.replace("[rows]\n", '[rows]\nblank_key = "follows"\n')
    assert codes_of(parts_of(written([row("1"), ("", "", "", "", "", "2000")]), follows)) == ["row-keyless"]


def test_a_key_that_comes_again_later_is_refused_and_never_merged() -> None:
    text = written([row("1", goods="a"), row("2"), row("1", goods="b"), row("1", goods="c"), row("3")])
    for mapping in (ITEMS, ONE_A_ROW):
        parts = parts_of(text, mapping)
        assert set(codes_of(parts)) == {"key-repeated"}
        assert numbers_of(parts) == ["1", "2", "3"]


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["good", "good", "ragged"])), max_size=14))
def test_whatever_the_order_of_rows_a_declaration_is_taken_whole_or_not_at_all(rows: list[tuple[int, str]]) -> None:
    lines = [
        ",".join([*row(str(key), goods=str(place)), *(["more"] if state == "ragged" else [])]) for place, (key, state) in enumerate(rows)
    ]
    parts = parts_of(written([]) + "\n".join(lines), ITEMS)
    taken = [part for part in parts if not isinstance(part, Unread)]
    assert len(set(numbers_of(taken))) == len(taken), "no key is taken twice"
    for part in taken:
        places = [int(name) for _, name in goods_of(part)]
        first, last = places[0], places[-1]
        assert places == list(range(first, last + 1)), "its rows stand together, and none of another is among them"
        beside = [rows[place][0] for place in (first - 1, last + 1) if 0 <= place < len(rows)]
        assert rows[first][0] not in beside, "none is missing"
        assert all(rows[place] == (rows[first][0], "good") for place in places)


def test_rows_that_disagree_over_the_whole_declaration_are_refused_with_both_lines() -> None:
    (part,) = parts_of(written([row("1"), row("1", date="2026-03-02")]), ITEMS)
    assert isinstance(part, Unread)
    (located,) = part.problems
    assert (located.code, located.place.path, located.place.line, located.problem.value) == ("rows-disagree", "Date", 3, "2026-03-02")
    assert "line 2 says '2026-03-01'" in located.problem.text
    assert goods_of(parts_of(written([row("1", goods="a"), row("1", goods="b", date="")]), ITEMS)[0]) == [(1, "a"), (2, "b")]


def test_each_row_may_add_to_the_lists_of_its_declaration() -> None:
    mapping = ITEMS + 'Box = ["container_numbers[]", "items[].container_numbers[]"]\nTruck = "vehicle_ids[]"\n'
    rows = [(*row("1"), "CSQU3054383", "01AB"), (*row("1"), "MSKU0000011", "01AB"), (*row("1"), "CSQU3054383", "02CD")]
    data = read_of(parts_of(written(rows, header=(*HEADER, "Box", "Truck")), mapping)[0]).data
    assert data["container_numbers"] == ["CSQU3054383", "MSKU0000011"]
    assert [item["container_numbers"] for item in data["items"]] == [["CSQU3054383"], ["MSKU0000011"], ["CSQU3054383"]]
    assert data["vehicle_ids"] == ["01AB", "02CD"]


def test_a_row_that_cannot_be_read_takes_the_declarations_beside_it_with_it() -> None:
    text = written([row("0"), row("1"), row("2", goods="BROKEN"), row("3"), row("4")]).replace("BROKEN", "a,b")
    parts = parts_of(text, ITEMS)
    assert numbers_of(parts) == ["0", "4"]
    assert codes_of(parts) == ["row-ragged", "row-beside-unread", "row-beside-unread"]
    assert numbers_of(parts_of(text)) == ["0", "1", "3", "4"], "where one row is one declaration, it costs only itself"


def test_a_row_of_totals_is_refused_unless_the_mapping_file_lets_it_pass() -> None:
    text = written([row("1"), row("2"), ("Итого:", "", "", "", "", "2000")])
    for mapping in (ONE_A_ROW, ITEMS):
        parts = parts_of(text, mapping)
        assert told(parts[-1] if mapping is ONE_A_ROW else parts[1]) == ("row-totals", 4)
        assert numbers_of(parts) == ["1", "2"]
        skipped = mapping + '\n[totals]\ncolumn = "Office"\nvalues = ["Итого:"]\n'
        assert codes_of(parts_of(text, skipped)) == []
        assert codes_of(parts_of(text, skipped + 'rows = "refused"\n')) == ["row-totals"]


def test_more_items_than_a_declaration_may_have_are_refused_without_keeping_them() -> None:
    parts = parts_of(written([row("1")] * (MOST_ITEMS + 1) + [row("2")]), ITEMS)
    assert codes_of(parts) == ["declaration-too-large"]
    assert numbers_of(parts) == ["2"]
    assert len(read_of(parts_of(written([row("1")] * MOST_ITEMS), ITEMS)[0]).data["items"]) == MOST_ITEMS


def test_a_table_of_too_many_declarations_is_refused_past_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DECLARATIONS >= 10_000
    monkeypatch.setattr("producers.formats.grouping.DECLARATIONS", 2)
    for mapping in (ONE_A_ROW, ITEMS):
        parts = parts_of(written([row(str(number)) for number in range(1, 9)]), mapping)
        assert numbers_of(parts) == ["1", "2"]
        assert [told(part) for part in parts[2:]] == [("table-too-long", 4)]


def test_a_column_tells_the_type_and_fields_of_other_types_are_kept() -> None:
    mapping = ONE_A_ROW.replace(
        'type = "customs.export-declaration.v1"',
        'type = { column = "Regime", values = { "ТТ" = "customs.transit-declaration.v1", "ЭК" = "customs.export-declaration.v1" } }',
    )
    mapping += '"Principal" = "principal_name"\n'
    rows = [(*row("1"), "ТТ", "Барқ"), (*row("2"), "ЭК", "Барқ"), (*row("3"), "??", "")]
    parts = parts_of(written(rows, header=(*HEADER, "Regime", "Principal")), mapping)
    assert [part.type for part in map(read_of, parts[:2])] == [TRANSIT, "customs.export-declaration.v1"]
    assert read_of(parts[0]).data["principal_name"] == "Барқ"
    assert read_of(parts[1]).data["extensions"] == {"csv": {"Principal": "Барқ"}}
    assert told(parts[2]) == ("type-unknown", 4)


def test_columns_of_one_row_make_documents_each_with_what_the_mapping_file_tells_of_it() -> None:
    mapping = ITEMS + (
        'Invoice = { field = "documents[1].reference", with = { type_code = "380" } }\n'
        '"Invoice date" = "documents[1].issued_on"\n'
        'CMR = { field = "documents[2].reference", with = { type_code = "730" } }\n'
        'Licence = { field = "items[].documents[].reference", with = { type_code = "811" } }\n'
    )
    header = (*HEADER, "Invoice", "Invoice date", "CMR", "Licence")
    rows = [(*row("1"), "I-7", "2026-02-01", "", "L1"), (*row("1"), "I-7", "", "", ""), (*row("1"), "", "", "", "L3")]
    (part,) = parts_of(written(rows, header=header), mapping)
    data = read_of(part).data
    assert data["documents"] == [{"type_code": "380", "reference": "I-7", "issued_on": "2026-02-01"}]
    assert [item.get("documents") for item in data["items"]] == [
        [{"type_code": "811", "reference": "L1"}],
        None,
        [{"type_code": "811", "reference": "L3"}],
    ]
    validate(read_of(part).type, data)


def test_what_no_field_says_is_kept_once_where_all_rows_agree_and_else_by_its_row() -> None:
    rows = [(*row("1"), "A", "x"), (*row("1"), "A", "y")]
    (part,) = parts_of(written(rows, header=(*HEADER, "Broker", "Bay")), 'kept = ["Broker", "Bay"]\n' + ITEMS)
    assert read_of(part).data["extensions"] == {"csv": {"Broker": "A", "items[1]/Bay": "x", "items[2]/Bay": "y"}}


@pytest.mark.parametrize(
    ("table", "written_so", "value"),
    [
        ('decimal = ","', "1234,5", "1234.5"),
        ('decimal = ","', "۱۲۳۴٫۵", "1234.5"),
        ('decimal = ","\nthousands = "."', "1.234.567,5", "1234567.5"),
        ('decimal = ","\nthousands = " "', "1\u00a0234,5", "1234.5"),
        ('decimal = "."\nthousands = ","', "1,234", "1234"),
        ('decimal = "."', "1.0E3", "1000"),
        ("", "1234.5", "1234.5"),
        ("", "1234,56", "1234.56"),
    ],
)
def test_numbers_are_read_as_the_mapping_file_says_they_are_written(table: str, written_so: str, value: str) -> None:
    (part,) = parts_of(written([row("1", net=written_so)]), f"{ONE_A_ROW}\n[table]\n{table}\n")
    assert read_of(part).data["items"][0]["net_mass_kg"] == value


@pytest.mark.parametrize(
    ("table", "written_so"),
    [
        ('decimal = ","', "1234.5"),
        ('decimal = "."', "1,234"),
        ('decimal = ","\nthousands = "."', "12.34,5"),
        ("", "1,234"),
        ("", "-5"),
        ("", "ten"),
    ],
)
def test_numbers_written_otherwise_are_refused_with_the_text_of_the_cell(table: str, written_so: str) -> None:
    (part,) = parts_of(written([row("1", net=written_so)]), f"{ONE_A_ROW}\n[table]\n{table}\n")
    assert isinstance(part, Unread)
    assert part.problems[0].problem.value == written_so


def test_spellings_of_nothing_and_local_codes_are_the_mapping_files_own() -> None:
    mapping = ONE_A_ROW + (
        'Origin = "items[].origin_country"\nMode = { field = "border_transport_mode", values = { truck = "3" } }\n'
        '[table]\nnothing = ["NULL", "-"]\n[codes.countries]\nQN = "CN"\n'
    )
    rows = [(*row("1", goods="NULL", net="-"), "QN", "truck"), (*row("2"), "XX", "-")]
    first, second = (read_of(part) for part in parts_of(written(rows, header=(*HEADER, "Origin", "Mode")), mapping))
    assert first.data["items"] == [{"number": 1, "hs_code": "252329", "origin_country": "CN"}]
    assert first.data["border_transport_mode"] == "3"
    assert second.data["extensions"] == {"csv": {"Origin": "XX"}}
    assert [(warning.code, warning.place.path) for warning in second.warnings] == [("code-local", "Origin")]


def test_dates_and_times_take_their_order_and_zone_from_the_mapping_file() -> None:
    mapping = ONE_A_ROW + 'Accepted = "accepted_at"\n[table]\ndate_order = "dmy"\ntime_zone = "Asia/Dushanbe"\n'
    text = written([(*row("1", date="04.03.26"), "04.03.2026 8:15"), (*row("2", date="۰۴/۰۳/۲۰۲۶"), "")], header=(*HEADER, "Accepted"))
    first, second = (read_of(part) for part in parts_of(text, mapping))
    assert (first.data["registered_on"], first.data["accepted_at"]) == ("2026-03-04", "2026-03-04T08:15:00+05:00")
    assert second.data["registered_on"] == "2026-03-04"
    assert codes_of(parts_of(written([row("1", date="04.03.2026")]))) == ["date-ambiguous"]
    assert codes_of(parts_of(written([row("1", date="04.03.2026")]), date_order="dmy")) == []


def test_the_order_of_dates_is_learned_from_the_whole_table_where_it_shows_in_one_way() -> None:
    shown = written([row("1", date="04.03.2026"), row("2", date="04.13.2026")])
    assert [read_of(part).data["registered_on"] for part in parts_of(shown)] == ["2026-04-03", "2026-04-13"]
    whole_years_first = written([row("1", date="2026-01-31"), row("2", date="04.03.2026"), row("3", date="04.13.2026")])
    assert codes_of(parts_of(whole_years_first)) == []
    both = written([row("1", date="04.03.2026"), row("2", date="04.13.2026"), row("3", date="13.04.2026")])
    assert codes_of(parts_of(both)) == ["date-ambiguous"]
    assert codes_of(parts_of(shown, date_order="dmy")) == ["date-invalid"], "what is stated goes before what shows"


def test_the_source_gives_what_no_column_says() -> None:
    mapping = (
        ONE_A_ROW.replace('[constants]\nadministration = "TJ"\n', "").replace('Office = "office_code"\n', "").replace('"Office", ', "")
    )
    (part,) = parts_of(written([row("1")]), 'not_taken = ["Office"]\n' + mapping, administration="tj", office="TJ777")
    assert (read_of(part).data["administration"], read_of(part).data["office_code"]) == ("tj", "TJ777")
    (part,) = parts_of(written([row("1")]), 'not_taken = ["Office"]\n' + mapping)
    assert "office_code" not in read_of(part).data


CROSSING = """
type = "customs.crossing-event.v1"

[table]
time_zone = "Asia/Kabul"

[constants]
administration = "AF"
declaration_administration = "TJ"
"vehicle.transport_mode" = "3"

[columns]
No = "event_number"
Post = "office_code"
What = { field = "kind", values = { IN = "arrived", KG = "weighed" } }
At = "occurred_at"
Decl = "declaration_number"
Year = "declaration_year"
Plates = "vehicle.plates[]"
Kg = "weighed_mass_kg"
"""


def crossing(**changes: Any) -> dict[str, object]:
    at = datetime(2026, 3, 4, 8, 15, tzinfo=ZoneInfo("Asia/Kabul"))
    said = {
        "No": "1",
        "Post": "AF010",
        "What": "KG",
        "At": at,
        "Decl": "17",
        "Year": 2026,
        "Plates": "01AB/02CD",
        "Kg": Decimal("31000.50"),
    }
    return said | changes


def test_rows_of_a_database_become_parts_by_the_same_mapping_file() -> None:
    columns = read_columns(CROSSING)
    naive = datetime(2026, 3, 4, 8, 15)
    first, second = rows_to_parts([crossing(), crossing(No="2", What="IN", At=naive, Kg=None)], columns, Conventions(), "view")
    assert read_of(first).data == {
        "administration": "af",
        "declaration_administration": "tj",
        "office_code": "AF010",
        "event_number": "1",
        "kind": "weighed",
        "occurred_at": "2026-03-04T08:15:00+04:30",
        "declaration_number": "17",
        "declaration_year": 2026,
        "vehicle": {"plates": ["01AB", "02CD"], "transport_mode": "3"},
        "weighed_mass_kg": "31000.5",
    }
    assert read_of(second).data["occurred_at"] == "2026-03-04T08:15:00+04:30"
    assert [read_of(part).line for part in (first, second)] == [1, 2]
    for part in (first, second):
        validate(read_of(part).type, read_of(part).data)


def test_values_of_a_database_that_may_have_lost_zeros_or_are_no_cells_are_refused() -> None:
    columns = read_columns(CROSSING)
    (part,) = rows_to_parts([crossing(Decl=17)], columns, Conventions())
    assert codes_of([part]) == ["cell-number"]
    told_whole = read_columns(CROSSING.replace('"declaration_number"', '{ field = "declaration_number", digits = "any" }'))
    (part,) = rows_to_parts([crossing(Decl=17)], told_whole, Conventions())
    assert read_of(part).data["declaration_number"] == "17"
    with pytest.raises(ContentError, match="cell-odd"):
        list(rows_to_parts([crossing(Plates=b"01AB")], columns, Conventions()))
    with pytest.raises(ContentError, match="column-missing"):
        list(rows_to_parts([{"No": "1"}], columns, Conventions()))


def test_days_floats_and_truths_of_a_database_are_written_in_one_way() -> None:
    columns = read_columns(ONE_A_ROW + 'Boxed = "containerised"\n[table]\ndecimal = ","\n')
    cells = dict(zip(HEADER, ("TJ020", "1", date(2026, 3, 1), "252329", "cement", 0.1 + 0.2), strict=True))
    (part,) = rows_to_parts([{**cells, "Boxed": True}], columns, Conventions())
    data = read_of(part).data
    assert (data["registered_on"], data["containerised"], data["items"][0]["net_mass_kg"]) == ("2026-03-01", True, "0.3")
    (part,) = rows_to_parts([{**cells, "Date": datetime(2026, 3, 1, 23, tzinfo=UTC), "Boxed": None}], columns, Conventions())
    assert read_of(part).data["registered_on"] == "2026-03-01"
