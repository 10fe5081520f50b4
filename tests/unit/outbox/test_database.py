"""What SQLite does for the outbox: durability settings, plans of the relay's questions, a full disk, a lock kept too long."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, Select, text
from sqlalchemy.dialects import sqlite

from broker.outbox import engine as engine_module
from broker.outbox import reading
from broker.outbox.engine import open_engine, writing
from broker.outbox.store import Outbox
from broker.outbox.values import Types
from schemas.errors import SettingsError, UnavailableError
from tests.unit.outbox.drafts import CROSSING, EXPORT, HOUSE, POST, HandClock, draft, drafts


@pytest.fixture
def engine(url: str, outbox: Outbox) -> Engine:
    return open_engine(url)


def test_a_commit_is_on_disk_before_it_is_acknowledged(engine: Engine) -> None:
    with engine.connect() as connection:
        pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    engine.dispose()


@pytest.mark.parametrize(
    ("question", "index"),
    [
        (reading.waiting_sizes().params(to=HOUSE.urn, after=0, most=100), "INDEX outbox_waiting (destination=? AND position>?)"),
        (reading.waiting_sizes(Types(frozenset({EXPORT}))).params(to=HOUSE.urn, after=5, most=100), "INDEX outbox_waiting"),
        (reading.waiting_sizes(Types(only=CROSSING)).params(to=HOUSE.urn, after=5, most=100), "INDEX outbox_waiting"),
        (reading.relayed_rows(HOUSE.urn), "INDEX outbox_relayed (destination=?"),
        (reading.relayed_rows(HOUSE.urn, HandClock()()), "INDEX outbox_relayed (destination=? AND relayed_at_utc>? AND relayed_at_utc<?)"),
    ],
)
def test_what_the_relay_asks_touches_unfinished_rows_only(engine: Engine, question: Select[tuple[object]], index: str) -> None:
    compiled = question.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))]
    assert any(index in step for step in plan), plan
    assert not any("SCAN" in step or "TEMP B-TREE" in step for step in plan), plan
    engine.dispose()


def test_a_full_disk_refuses_the_batch_and_says_so_and_room_heals_it(url: str, outbox: Outbox) -> None:
    outbox.accept(drafts(2))
    with outbox._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(UnavailableError, match="outbox-full"):
        outbox.accept(drafts(200, 10, length=4_000))
    assert len(outbox.waiting(HOUSE.urn, 1_000, 10**9)) == 2
    with outbox._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert outbox.accept(drafts(200, 10, length=4_000))[-1].sequence == 202


def test_a_lock_kept_too_long_is_told_as_busy(url: str, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "WAIT_FOR_LOCK_SECONDS", 0)
    impatient = Outbox.open(url, POST, "test", HandClock())
    with writing(open_engine(url)), pytest.raises(UnavailableError, match="outbox-busy"):
        impatient.accept([draft(1)])
    assert impatient.accept([draft(1)])[0].sequence == 1
    impatient.close()


def test_an_outbox_in_memory_or_in_another_database_is_refused() -> None:
    for url in ("sqlite://", "sqlite:///:memory:", "mysql://x/y", "nonsense"):
        with pytest.raises(SettingsError, match="outbox-url"):
            open_engine(url)


def test_a_file_that_is_no_database_is_told_as_away(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(UnavailableError, match="outbox-away"):
        Outbox.open(f"sqlite:///{tmp_path}/outbox.sqlite", POST, "test")


def test_a_commit_of_another_handle_is_seen_and_asking_is_no_commit(url: str, outbox: Outbox, clock: HandClock) -> None:
    other = Outbox.open(url, POST, "test", clock)
    outbox.accept(drafts(1))
    before = outbox.last_write()
    assert before is not None
    assert outbox.counts()
    assert outbox.last_write() == before
    other.accept(drafts(500, first=100))  # long enough for the log to grow, whatever the clock's tick
    assert outbox.last_write() != before
    other.close()


def test_who_opens_a_new_file_while_another_begins_on_it_waits_for_it(tmp_path: Path) -> None:
    def mode() -> str:
        with open_engine(f"sqlite:///{tmp_path}/new.sqlite").connect() as connection:
            return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())

    first = sqlite3.connect(tmp_path / "new.sqlite", isolation_level=None)
    first.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(mode)
        with pytest.raises(TimeoutError):
            second.result(0.3)
        first.execute("COMMIT")
        assert second.result(5) == "wal"
    first.close()
