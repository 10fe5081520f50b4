"""What following a view rests on: places that are written down and read exactly, and a query that is the same on every database."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import column, create_engine, table, text
from sqlalchemy.dialects import oracle

from producers.national import open_national
from producers.sources.view.contents import bytes_of
from producers.sources.view.national import rows_query
from producers.sources.view.places import Place, checked, read_place, written
from schemas.errors import SettingsError

_VALUES = st.one_of(
    st.integers(),
    st.text(),
    st.decimals(allow_nan=False),
    st.datetimes(timezones=st.none() | st.sampled_from([UTC, timezone(timedelta(hours=5)), timezone(timedelta(hours=4, minutes=30))])),
    st.dates(),
    st.uuids(),
    st.binary(),
    st.floats(allow_nan=False),
)


@given(st.lists(_VALUES, min_size=1, max_size=5).map(tuple))
def test_a_place_is_read_as_it_was_written(place: Place) -> None:
    again = read_place(written(place))
    assert again == place
    assert [type(value) for value in again] == [type(value) for value in place]


@pytest.mark.parametrize("value", [None, True, [], {}, object()])
def test_what_cannot_be_ordered_by_is_told(value: object) -> None:
    with pytest.raises(SettingsError, match="view-key"):
        checked([1, value])


def test_the_kinds_stay_apart() -> None:
    place = (Decimal("1.0"), date(2026, 1, 1), datetime(2026, 1, 1), UUID(int=1), 1, "1")
    assert [kind for kind, _ in written(place)] == ["decimal", "day", "instant", "uuid", "integer", "text"]


_ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), unique=True, max_size=30)


@given(rows=_ROWS, after=st.tuples(st.integers(-1, 4), st.integers(-1, 4), st.integers(-1, 4)), limit=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_oracle_s_form_of_the_query_finds_what_the_row_comparison_finds(
    rows: list[tuple[int, ...]], after: tuple[int, ...], limit: int
) -> None:
    view = table("v", *(column(name) for name in ("a", "b", "c", "d")))
    order = [view.c.a, view.c.b, view.c.c]
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE v (a integer, b integer, c integer, d text)"))
        for row in rows:
            connection.execute(text("INSERT INTO v VALUES (:a, :b, :c, 'x')"), dict(zip("abc", row, strict=True)))
        found = {name: connection.execute(rows_query(name, order, [view.c.d], after, 3, limit)).all() for name in ("sqlite", "oracle")}
    engine.dispose()
    expected = [(*row, "x") for row in sorted(rows) if row > after and row[0] < 3][:limit]
    assert [tuple(row) for row in found["oracle"]] == [tuple(row) for row in found["sqlite"]] == expected


def test_oracle_is_asked_in_its_own_words() -> None:
    view = table("exchange_declaration", column("scn"), column("serial"), column("document"), schema="national")
    query = rows_query("oracle", [view.c.scn, view.c.serial], [view.c.document], (7, 1), None, 500)
    said = str(query.compile(dialect=oracle.dialect()))  # type: ignore[no-untyped-call]  # as SQLAlchemy has it
    assert "national.exchange_declaration" in said
    assert "scn >= " in said
    assert "FETCH FIRST" in said or "ROWNUM" in said


@pytest.mark.parametrize(
    ("value", "document"),
    [
        (None, b""),
        ("ҷ", "ҷ".encode()),
        (memoryview(b"ab"), b"ab"),
        ({"type": "ҷ"}, '{"type": "ҷ"}'.encode()),
        ('<?xml version="1.0" encoding="windows-1251"?><a/>', b'<?xml version="1.0"?><a/>'),
        ("<?xml version='1.0' encoding='UTF-16' standalone='yes'?>\n<a/>", b"<?xml version='1.0' standalone='yes'?>\n<a/>"),
    ],
)
def test_documents_of_every_kind_become_bytes(value: object, document: bytes) -> None:
    assert bytes_of(value) == document


def test_a_driver_that_is_not_installed_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "oracledb", None)
    with pytest.raises(SettingsError, match=r"panj\[oracle\]"):
        open_national("oracle+oracledb://panj_reader@db:1521/?service_name=national&thick_mode=true", None)


def test_a_number_is_no_document() -> None:
    with pytest.raises(SettingsError, match="view-document"):
        bytes_of(7)
