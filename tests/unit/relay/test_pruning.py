"""Pruning an outbox, over brokers in memory: what both sides agreed to goes into the archive; what anything needs stays."""

from __future__ import annotations

import gzip
import hashlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from broker.archive import Archived
from broker.outbox.engine import open_engine, reading
from broker.outbox.tables import outbox, receipt
from schemas.errors import UnavailableError
from schemas.event import digest_of
from schemas.fates import Fate
from tests.unit.outbox.drafts import EXPORT, HOUSE, draft
from tests.unit.relay.frontier import Frontier
from tests.unit.relay.test_closing import account, ask, settled, until

YEAR = 365


def prune(frontier: Frontier, archive: Path, days: int = YEAR) -> list[Archived]:
    """All that may go, as the daemon does it."""
    gone = []
    while blocks := frontier.outbox.pruning.blocks(days):
        gone += [each for block in blocks if (each := frontier.outbox.pruning.archive(block, archive)) is not None]
    return gone


def count(frontier: Frontier, table: object = outbox) -> int:
    engine = open_engine(frontier.url)
    with reading(engine) as connection:
        found = connection.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type]
    engine.dispose()
    return found


def test_agreed_blocks_go_once_they_are_old_enough_and_the_archive_holds_their_exact_bytes(frontier: Frontier, tmp_path: Path) -> None:
    settled(frontier, 2_300)
    ask(frontier)
    (first, *_) = frontier.outbox.rows_of("TJ/TJPNJ/2026/1")
    assert prune(frontier, tmp_path) == []
    frontier.clock.turn(timedelta(days=YEAR + 1).total_seconds())
    gone = prune(frontier, tmp_path)
    assert [(each.block.first, each.block.last, each.events) for each in gone] == [(1, 1_000, 1_000), (1_001, 2_000, 1_000)]
    assert count(frontier) == 300
    path = gone[0].file
    assert path is not None
    packed = path.read_bytes()
    assert hashlib.sha256(packed).hexdigest() == path.with_name(path.name + ".sha256").read_text().split()[0]
    head, *lines = [json.loads(line) for line in gzip.decompress(packed).decode().splitlines()]
    events = [line for line in lines if "event" in line]
    assert (head["digest"], head["first"], len(events)) == (gone[0].block.digest, 1, 1_000)
    assert events[0]["id"] == first.event_id
    assert digest_of(events[0]["event"].encode()) == bytes(first.digest)
    assert {line["house"] for line in lines if "receipt" in line and "house" in line} == {HOUSE.urn}
    (depth,) = frontier.outbox.counts()
    assert (depth.accepted, depth.settled, depth.waiting) == (2_300, 2_300, 0)


def test_what_is_pruned_is_not_stated_any_more_and_all_else_still_closes(frontier: Frontier, tmp_path: Path) -> None:
    frontier.house.horizon_seconds = 3_600
    settled(frontier, 1_500)
    ask(frontier)
    frontier.clock.turn(timedelta(days=2).total_seconds())
    assert len(prune(frontier, tmp_path, days=1)) == 1
    settled(frontier, 10, 5_000)
    ask(frontier, everything=True)
    (stream,) = frontier.house.manifests[-1].streams
    assert [(block.first, block.last) for block in stream.blocks] == [(1_001, 1_510)]
    assert account(frontier).number >= 2


def test_nothing_goes_before_the_house_s_backup_horizon_whatever_is_configured(frontier: Frontier, tmp_path: Path) -> None:
    settled(frontier, 1_100)
    ask(frontier)
    frontier.clock.turn(timedelta(days=20).total_seconds())
    assert prune(frontier, tmp_path, days=1) == []
    frontier.clock.turn(timedelta(days=11).total_seconds())
    assert len(prune(frontier, tmp_path, days=1)) == 1


def test_what_is_not_agreed_not_settled_or_under_question_stays(frontier: Frontier, tmp_path: Path) -> None:
    frontier.house.horizon_seconds = 3_600
    frontier.house.fate = Fate.HELD
    frontier.outbox.accept([draft(1)])
    until(frontier, frontier.relay.quiet, seconds=1)
    frontier.house.fate = Fate.LOADED
    settled(frontier, 1_200, first=2)
    frontier.house.fate = Fate.HELD  # and the first one stays so, however often it is asked for again
    frontier.clock.turn(timedelta(days=2).total_seconds())
    assert prune(frontier, tmp_path, days=1) == []  # never agreed
    ask(frontier)
    frontier.clock.turn(timedelta(days=2).total_seconds())
    assert prune(frontier, tmp_path, days=1) == []  # one of them is held over there


def test_the_newest_events_stay_so_that_numbers_and_clock_are_known(frontier: Frontier, tmp_path: Path) -> None:
    settled(frontier, 1_000)
    ask(frontier)
    frontier.clock.turn(timedelta(days=YEAR * 2).total_seconds())
    assert prune(frontier, tmp_path) == []
    (acceptance,) = frontier.outbox.accept([draft(9_999)])
    assert acceptance.sequence == 1_001


def test_receipts_go_with_the_last_event_that_they_answer(frontier: Frontier, tmp_path: Path) -> None:
    settled(frontier, 1_300)
    ask(frontier)
    before = count(frontier, receipt)
    frontier.clock.turn(timedelta(days=YEAR + 1).total_seconds())
    prune(frontier, tmp_path)
    assert 0 < count(frontier, receipt) < before
    engine = open_engine(frontier.url)
    with reading(engine) as connection:
        orphans = text("SELECT count(*) FROM outbox WHERE receipt_digest NOT IN (SELECT digest FROM receipt)")
        assert connection.execute(orphans).scalar_one() == 0
    engine.dispose()


def test_an_archive_that_cannot_be_written_costs_nothing(frontier: Frontier, tmp_path: Path) -> None:
    settled(frontier, 1_100)
    ask(frontier)
    frontier.clock.turn(timedelta(days=YEAR + 1).total_seconds())
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a directory")
    with pytest.raises(UnavailableError, match="archive-unwritable"):
        prune(frontier, in_the_way)
    assert count(frontier) == 1_100
    assert EXPORT in {row.type for row in frontier.outbox.streams()}
