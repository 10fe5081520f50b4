"""A view of the national database, read by keyset polling on a real PostgreSQL: never a row missed, never one taken twice."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from broker.operations.contributions import Attention
from broker.settings.model import ReadingSettings
from producers.sources.view import following
from producers.sources.view.following import follow
from producers.sources.view.standing import of_views
from schemas.errors import PanjError, SettingsError, UnavailableError
from tests.integration.sources.door import POST
from tests.integration.sources.ledger import INSERT, Ledger, Order, document, ledger_of, read_all, source_of, statements

EXACT: tuple[Order, ...] = ("transaction", "time")


@pytest.fixture
def ledger(tmp_path: Path, postgres_url: str) -> Iterator[Ledger]:
    with ledger_of(tmp_path, postgres_url) as found:
        yield found


def put(connection: psycopg.Connection[Any], *numbers: int) -> None:
    for number in numbers:
        connection.execute(INSERT, (number, document(number)))


def test_rows_are_read_in_their_order_and_once(ledger: Ledger) -> None:
    view = ledger.follow()
    with ledger.connect() as connection:
        put(connection, 3, 1, 2)
    read_all(view)
    with ledger.connect() as connection:
        put(connection, 4)
    read_all(view)
    read_all(view)
    assert ledger.references() == ["1", "2", "3", "4"]
    assert ledger.outbox.cursors.read("sad").rows == 4


@pytest.mark.parametrize("order", EXACT)
def test_a_transaction_that_began_first_and_ends_last_is_not_missed(ledger: Ledger, order: Order) -> None:
    view = ledger.follow(order)
    first, second = ledger.connect(), ledger.connect()
    put(first, 1)  # takes its number and its time now, and is seen by nobody
    put(second, 2)
    second.commit()
    read_all(view)
    if order == "transaction":
        assert ledger.references() == []  # 2 waits for what stands before it
        assert ledger.outbox.cursors.read("sad").waiting_since_utc is not None
    else:
        assert ledger.references() == ["2"]
    first.commit()
    read_all(view)
    assert sorted(ledger.references()) == ["1", "2"]
    read_all(ledger.follow(order))
    assert sorted(ledger.references()) == ["1", "2"]
    if order == "transaction":
        cursor = ledger.outbox.cursors.read("sad")
        assert (cursor.rows, cursor.waiting_since_utc) == (2, None)


def test_the_control_a_number_that_is_not_given_at_the_commit_does_miss_it(ledger: Ledger) -> None:
    """Without the line at the oldest open transaction the row is lost: what the test above shows, it shows."""
    view = ledger.follow("commit")  # by `serial`, which is given before the commit: what `order` must not be told
    first, second = ledger.connect(), ledger.connect()
    put(first, 1)
    put(second, 2)
    second.commit()
    read_all(view)
    first.commit()
    read_all(view)
    assert ledger.references() == ["2"]


def test_a_transaction_that_is_rolled_back_leaves_nothing_and_holds_nothing_up(ledger: Ledger) -> None:
    view = ledger.follow()
    first, second = ledger.connect(), ledger.connect()
    put(first, 1)
    put(second, 2)
    second.commit()
    first.rollback()
    read_all(view)
    assert ledger.references() == ["2"]


def test_one_that_only_reads_holds_nothing_up(ledger: Ledger) -> None:
    view = ledger.follow()
    reading = ledger.connect()
    reading.execute("SELECT count(*) FROM declaration")
    with ledger.connect() as connection:
        put(connection, 1)
    read_all(view)
    assert ledger.references() == ["1"]


def test_a_changed_row_is_read_again_and_an_unchanged_content_is_no_second_event(ledger: Ledger) -> None:
    view = ledger.follow()
    with ledger.connect() as connection:
        put(connection, 1)
    read_all(view)
    with ledger.connect() as connection:
        connection.execute("UPDATE declaration SET document = document")
    read_all(view)
    assert (ledger.references(), ledger.outbox.cursors.read("sad").rows) == (["1"], 2)
    corrected = {"version": 2, "message_function": "amendment", "corrects": 1, "correction_reason": "a mass", "gross_mass_kg": "21000"}
    with ledger.connect() as connection:
        connection.execute("UPDATE declaration SET document = %s", (document(1, **corrected),))
    read_all(view)
    assert ledger.references() == ["1", "1"]


@pytest.mark.parametrize("mapped", [False, True], ids=["a document", "columns"])
def test_a_row_that_changed_is_an_amendment_where_the_source_says_so(ledger: Ledger, tmp_path: Path, mapped: bool) -> None:
    post = ledger.settings.posts[POST.name]
    reading = ReadingSettings(versions="next", correction_reason="changed in the national system")
    ledger.settings = ledger.settings.model_copy(update={"posts": {POST.name: post.model_copy(update={"reading": reading})}})
    with ledger.connect() as connection:
        put(connection, 1)
        connection.execute("""
            CREATE VIEW mapped AS SELECT office, year, serial, DATE '2026-11-20' AS registered_on, 'ҶДММ Меваи Вахш' AS exporter, txid,
            'Apples' AS goods, '080810' AS hs_code, length(document::text) AS mass, NULL AS remark FROM declaration""")
    (mapping := tmp_path / "columns.toml").write_text(MAPPING)
    view = ledger.follow(view="mapped", document=None, columns=mapping) if mapped else ledger.follow()
    read_all(view)
    for exporter in ("another", "another"):  # written twice, and changed once
        with ledger.connect() as connection:
            connection.execute("UPDATE declaration SET document = %s", (document(1, exporter_name=exporter),))
        read_all(view)
    rows = [json.loads(row.raw)["data"] for row in ledger.outbox.waiting("urn:customs:af:customs", 100, 10**9)]
    assert [(row["version"], row.get("corrects"), row.get("correction_reason")) for row in rows] == [
        (1, None, None),
        (2, 1, "changed in the national system"),
    ]


_STEPS = st.lists(st.tuples(st.sampled_from(["write", "write", "end", "give up", "poll", "restart"]), st.integers(0, 2)), max_size=30)


@pytest.mark.parametrize("order", EXACT)
@given(steps=_STEPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_the_order_of_writing_and_ending_each_row_is_read_once(ledger: Ledger, order: Order, steps: list[tuple[str, int]]) -> None:
    with ledger.connect() as connection:
        connection.execute("TRUNCATE declaration")
    example = f"example-{next(ledger.numbers)}"  # a view that nobody has read yet
    before = set(ledger.references())
    committed = _run(ledger, order, example, steps)
    found = [each for each in ledger.references() if each not in before]
    assert sorted(found, key=int) == [str(each) for each in sorted(committed)]
    if order == "transaction":
        assert ledger.outbox.cursors.read(example).rows == len(committed)  # not one of them was even looked at twice


def _run(ledger: Ledger, order: Order, example: str, steps: list[tuple[str, int]]) -> list[int]:
    """Take the steps, with three connections that write, and read to the end; what was committed."""
    writers = [ledger.connect() for _ in range(3)]
    written: list[list[int]] = [[], [], []]
    committed: list[int] = []
    view = ledger.follow(order, name=example)
    for step, who in steps:
        if step == "write":
            number = next(ledger.numbers)
            put(writers[who], number)
            written[who].append(number)
        elif step == "poll":
            read_all(view)
        elif step == "restart":
            view = ledger.follow(order, name=example)
        else:
            committed += written[who] if step == "end" else []
            written[who] = []
            (writers[who].commit if step == "end" else writers[who].rollback)()
    for writer in writers:
        writer.close()  # which gives up what they had not committed
    read_all(view)
    return committed


def test_many_writers_at_once_and_a_reader_that_dies(ledger: Ledger) -> None:
    """Real threads, real waits: transactions of several rows that end in another order than they began, half of them late."""
    done = threading.Event()

    def write(first: int) -> None:
        chance = random.Random(first)
        connection = ledger.connect()
        for at in range(15):
            put(connection, *range(first + at * 4, first + at * 4 + 4))
            time.sleep(chance.random() * 0.02)
            connection.commit()

    threads = [threading.Thread(target=write, args=(1_000 * each,)) for each in range(1, 5)]
    for thread in threads:
        thread.start()

    def watch() -> None:
        view = ledger.follow()
        turns = 0
        while not done.is_set():
            view.turn()
            turns += 1
            if turns % 7 == 0:
                view = ledger.follow()

    watching = threading.Thread(target=watch)
    watching.start()
    for thread in threads:
        thread.join()
    done.set()
    watching.join()
    read_all(ledger.follow())
    assert len(ledger.references()) == len(set(ledger.references())) == 4 * 60
    assert ledger.outbox.cursors.read("sad").rows == 4 * 60


@pytest.mark.parametrize("order", EXACT)
def test_dying_between_acceptance_and_the_saved_place_makes_no_second_event(
    ledger: Ledger, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger.connect() as connection:
        put(connection, *range(1, 11))
    view = ledger.follow(order)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(view, "_save", die)
    with pytest.raises(KeyboardInterrupt):
        view.turn()
    assert len(ledger.references()) == 10
    read_all(ledger.follow(order))
    assert len(ledger.references()) == 10
    assert ledger.outbox.cursors.read("sad").rows == 10


def test_an_outbox_that_is_away_keeps_the_place(ledger: Ledger) -> None:
    with ledger.connect() as connection:
        put(connection, 1)
    view = ledger.follow()
    ledger.outbox.suspect("a test says so")
    with pytest.raises(UnavailableError, match="outbox-restored"):
        view.turn()
    assert ledger.outbox.cursors.read("sad").place is None


def test_many_rows_are_read_in_batches(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(following, "PLACES_AT_ONCE", 11)
    with ledger.connect() as connection:  # one transaction: all of them have the same number, and the same time
        put(connection, *range(1, 51))
    for order in EXACT:
        read_all(ledger.follow(order, name=f"by-{order}"))
        assert ledger.references() == [str(number) for number in range(1, 51)]
        assert ledger.outbox.cursors.read(f"by-{order}").rows == 50


def test_instants_keep_their_offset_on_their_way(ledger: Ledger) -> None:
    """Through the session's own time zone an hour would stand twice each autumn."""
    view = ledger.follow("time")
    with ledger.connect() as connection:
        put(connection, 1)
    read_all(view)
    with statements(view) as asked:
        read_all(view)
    compared = [statement for statement, _ in asked if ">=" in statement]
    assert compared
    assert all("TIMESTAMP WITH TIME ZONE" in statement for statement in compared)


def test_what_changed_in_the_future_keeps_nothing_from_being_read(ledger: Ledger) -> None:
    view = ledger.follow("time", overlap_seconds=1)
    with ledger.connect() as connection:
        put(connection, 1)
        connection.execute("ALTER TABLE declaration DISABLE TRIGGER declaration_stamp")
        connection.execute("UPDATE declaration SET changed = now() + interval '10 years'")
        connection.execute("ALTER TABLE declaration ENABLE TRIGGER declaration_stamp")
    read_all(view)
    with ledger.connect() as connection:
        put(connection, 2)
    read_all(view)
    read_all(view)
    assert ledger.references() == ["1", "2"]
    assert ledger.outbox.cursors.read("sad").rows == 2


def test_a_bad_row_is_set_aside_with_its_reason_and_the_good_ones_around_it_are_taken(ledger: Ledger) -> None:
    with ledger.connect() as connection:
        put(connection, 1)
        connection.execute(INSERT, (2, document(2, gross_mass_kg="much")))
        connection.execute(INSERT, (3, None))
        connection.execute(INSERT, (4, "no format at all"))
        put(connection, 5)
    view = ledger.follow()
    read_all(view)
    assert ledger.references() == ["1", "5"]
    reasons = {file.name: json.loads(file.read_bytes()) for file in ledger.rejected.glob("*.reason.json")}
    codes = {name.split(".")[1]: [problem["code"] for problem in reason["problems"]] for name, reason in reasons.items()}
    assert codes == {
        "TJ105000-2026-2": ["field-invalid"],
        "TJ105000-2026-3": ["file-empty"],
        "TJ105000-2026-4": ["format-unknown"],
    }
    ledger.outbox.cursors.forget("sad")
    read_all(ledger.follow())  # all of it once more: nothing is set aside twice
    assert len(list(ledger.rejected.glob("*.reason.json"))) == 3
    assert ledger.references() == ["1", "5"]


@pytest.mark.parametrize("given", ["convert_to(document, 'UTF8')", "document::jsonb", "document::json", "document::varchar"])
def test_documents_may_stand_in_columns_of_several_kinds(ledger: Ledger, given: LiteralString) -> None:
    with ledger.connect() as connection:
        put(connection, 1)
        view = sql.SQL("CREATE VIEW other AS SELECT office, year, serial, {} AS document, txid FROM declaration")
        connection.execute(view.format(sql.SQL(given)))
    read_all(ledger.follow(view="other"))
    assert ledger.references() == ["1"]


MAPPING = """
type = "customs.export-declaration.v1"
kept = ["remark"]

[constants]
administration = "TJ"
export_country = "TJ"
destination_country = "AF"

[columns]
office = "office_code"
serial = { field = "registration_number", digits = "any" }
registered_on = "registered_on"
exporter = "exporter_name"
goods = "items[].description"
hs_code = "items[].hs_code"
mass = "items[].gross_mass_kg"
"""


def test_the_columns_of_a_view_may_be_the_declaration_by_a_mapping_file(ledger: Ledger, tmp_path: Path) -> None:
    mapping = tmp_path / "columns.toml"
    mapping.write_text(MAPPING)
    with ledger.connect() as connection:
        put(connection, 1, 2, 3)
        connection.execute("""
            CREATE VIEW mapped AS SELECT office, year, serial, DATE '2026-11-20' AS registered_on, 'ҶДММ Меваи Вахш' AS exporter, txid,
            'Apples' AS goods, CASE serial WHEN 2 THEN 'none' ELSE '080810' END AS hs_code, 1500.5 + serial AS mass, NULL AS remark
            FROM declaration""")
    read_all(ledger.follow(view="mapped", document=None, columns=mapping))
    rows = [json.loads(row.raw)["data"] for row in ledger.outbox.waiting("urn:customs:af:customs", 100, 10**9)]
    assert [row["registration_number"] for row in rows] == ["1", "3"]
    assert rows[0]["registered_on"] == "2026-11-20"
    assert rows[0]["items"][0]["gross_mass_kg"] == "1501.5"
    (reason,) = (json.loads(file.read_bytes()) for file in ledger.rejected.glob("*.reason.json"))
    assert (reason["problems"][0]["field"], reason["problems"][0]["path"]) == ("items.0.hs_code", "hs_code")
    (row,) = (file for file in ledger.rejected.iterdir() if not file.name.endswith(".reason.json"))
    assert json.loads(row.read_bytes())["hs_code"] == "none"


def test_a_mapping_whose_rows_are_items_is_refused_for_a_view(ledger: Ledger, tmp_path: Path) -> None:
    mapping = tmp_path / "columns.toml"
    mapping.write_text(MAPPING.replace("[columns]", '[rows]\none_is = "item"\nkey = ["office", "serial"]\n\n[columns]'))
    with pytest.raises(SettingsError, match="columns-value"):
        ledger.follow(document=None, columns=mapping)


def test_a_reader_with_the_documented_rights_can_read_and_nothing_else(ledger: Ledger, tmp_path: Path) -> None:
    name = f"reader_{random.randrange(10**9)}"
    reader = sql.Identifier(name)
    with ledger.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'geheim'").format(reader))
        connection.execute(sql.SQL("GRANT SELECT ON exchange_declaration TO {}").format(reader))
        put(connection, 1)
    password = tmp_path / "password"
    password.write_text("geheim\n")
    password.chmod(0o600)
    rest = ledger.url.partition("@")[2]
    view = ledger.follow(database=f"postgresql+psycopg://{name}@{rest}", password_file=password)
    with statements(view) as asked:
        read_all(view)
    assert ledger.references() == ["1"]
    assert any("REPEATABLE READ READ ONLY" in statement for statement, _ in asked)
    assert not [statement for statement, _ in asked if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE"))]
    view._view.close()
    with ledger.connect() as connection:
        connection.execute(sql.SQL("DROP OWNED BY {}").format(reader))
        connection.execute(sql.SQL("DROP ROLE {}").format(reader))


def test_the_query_reads_a_range_of_the_index_and_sorts_nothing(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.connect() as connection:
        many = "SELECT 'TJ105000', 2026, n, repeat('x', 500) FROM generate_series(1, 4000) n"
        connection.execute(f"INSERT INTO declaration (office, year, serial, document) {many}")
    for number in range(20):  # more transactions than one, as in life
        with ledger.connect() as connection:
            connection.execute("UPDATE declaration SET document = document WHERE serial %% 20 = %s", (number,))
    with psycopg.connect(ledger.url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE declaration")
    place = [["integer", str(_last_txid(ledger) - 10)], ["text", "TJ105000"], ["integer", "2026"], ["integer", "3990"]]
    ledger.outbox.cursors.save("sad", place, 0, 0, waiting=False)
    view = ledger.follow()
    with statements(view) as asked:
        view.turn()
    statement, parameters = next(each for each in asked if "exchange_declaration" in each[0] and "ORDER BY" in each[0])
    with ledger.connect() as connection:
        plan = "\n".join(
            line for (line,) in connection.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {statement}", parameters)
        )
    (tmp_path / "plan").write_text(f"{statement}\n\n{plan}\n")  # docs/sources.md shows it
    assert "Index Scan using declaration_txid" in plan
    assert "Index Cond" in plan
    assert "Sort" not in plan
    assert "Seq Scan" not in plan


def _last_txid(ledger: Ledger) -> int:
    with ledger.connect() as connection:
        return int(connection.execute("SELECT max(txid) FROM declaration").fetchone()[0])  # type: ignore[index]  # there are rows


def test_a_database_that_was_set_back_is_told_and_can_be_read_again(ledger: Ledger) -> None:
    with ledger.connect() as connection:
        put(connection, 1)
    ledger.outbox.cursors.save("sad", [["integer", str(10**12)], ["text", "a"], ["integer", "1"], ["integer", "1"]], 0, 0, waiting=False)
    view = ledger.follow()
    with pytest.raises(UnavailableError, match="view-set-back"):
        view.turn()
    ledger.outbox.cursors.forget("sad")
    read_all(view)
    assert ledger.references() == ["1"]


def test_rows_without_an_order_are_told(ledger: Ledger) -> None:
    with ledger.connect() as connection:
        put(connection, 1)
        connection.execute("CREATE VIEW holed AS SELECT office, year, serial, document, nullif(txid, txid) AS txid FROM declaration")
    with pytest.raises(SettingsError, match="view-key"):
        ledger.follow(view="holed").turn()


def test_a_database_that_is_away_is_waited_for_and_told_by_the_status(ledger: Ledger) -> None:
    with ledger.connect() as connection:
        put(connection, 1)
        connection.execute("ALTER VIEW exchange_declaration RENAME TO away")
    view, stop = ledger.follow(poll_seconds=0.1), threading.Event()
    thread = threading.Thread(target=follow, args=(view, ledger.outbox.cursors, stop))
    thread.start()

    def told() -> list[Attention]:
        now = ledger.outbox.cursors._clock()
        return [
            each.attention for each in of_views(POST, [source_of(ledger.url)], ledger.outbox.cursors.all(), now) if each.name == "last read"
        ]

    _wait(lambda: told() == [Attention.ACT])
    assert "view-away" in str(ledger.outbox.cursors.read("sad").trouble)
    with ledger.connect() as connection:
        connection.execute("ALTER VIEW away RENAME TO exchange_declaration")
    _wait(lambda: ledger.references() == ["1"])
    _wait(lambda: told() == [Attention.FINE])
    stop.set()
    thread.join()


def _wait(true: Any) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"database": "sqlite:///x"}, "PostgreSQL's"),
        ({"key": ("txid",)}, "different columns"),
        ({"document": None}, "document or columns"),
        ({"columns": "columns.toml"}, "document or columns"),
        ({"view": "a.b; DROP TABLE c"}, "match"),
        ({"changed": 'x"y'}, "match"),
        ({"database": "mysql://x"}, "match"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        source_of("postgresql+psycopg://reader@db/national", **changes)


def test_a_database_that_cannot_be_reached_is_told_as_away(ledger: Ledger) -> None:
    with pytest.raises(PanjError, match="view-away"):
        ledger.follow(database="postgresql+psycopg://nobody@127.0.0.1:1/none").turn()
