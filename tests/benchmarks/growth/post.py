"""The post against its backlog and against what it has settled: accept, relay, settle, prune, status. Brokers in memory, real SQLite."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select, text, update

from broker.outbox.closing_tables import account, closing_stream
from broker.outbox.engine import open_engine, writing
from broker.outbox.room import Room
from broker.outbox.store import Outbox
from broker.outbox.tables import outbox, stream
from broker.outbox.values import Draft, Occurrences, Settlement
from schemas.fates import Fate
from tests.benchmarks.growth.curves import Curve
from tests.benchmarks.growth.measuring import Form, Series, Tally
from tests.benchmarks.outbox import BATCH, receipt_of
from tests.unit.outbox.drafts import EXPORT, HOUSE, POST, draft
from tests.unit.relay.frontier import Frontier, frontier_at

WINDOW = 1_000
IDLE_TURNS = 50
SCRAPES = 5
DECLARATION = "µs a declaration"

_new = count(1)

# Rows as acceptance writes them, a thousandfold: ids in the order of time, references that rise, everything else from one accepted row.
_FILL = """
    INSERT INTO outbox (event_id, destination, type, epoch, sequence, reference, version, content_digest, digest, bytes, accepted_at_utc,
        relays, learned, raw, relayed_at_utc, relayed_mark, settled_at_utc, fate, receipt_digest)
    WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
    SELECT printf('%08x-%04x-7%03x-8%03x-%012x', (:ms + i) >> 16, (:ms + i) & 65535, abs(random()) % 4096, abs(random()) % 4096,
            abs(random()) % 281474976710656),
        t.destination, t.type, t.epoch, i, 'TJ/TJPNJ/2026/f' || i, 1, randomblob(32), t.digest, t.bytes, :at, :relays, 0, t.raw,
        :relayed, :mark, :settled, :fate, CASE WHEN :settled IS NULL THEN NULL ELSE CAST(printf('%032d', (i - 1) / 500) AS BLOB) END
    FROM n, (SELECT * FROM outbox WHERE position = :template) AS t
"""
_RECEIPTS = """
    INSERT INTO receipt (digest, house, received_at_utc, jws, raw)
    SELECT receipt_digest, :house, :at, 'x..' || printf('%086d', 0),
        CAST(json_object('data', json_object('answers', json_group_array(json_object('id', event_id)))) AS BLOB)
    FROM outbox WHERE sequence BETWEEN :first AND :last AND receipt_digest IS NOT NULL GROUP BY receipt_digest
"""


def new_number() -> str:
    """What no declaration was called before."""
    return f"n{next(_new)}"


def drafts(number: int) -> list[Draft]:
    """So many new drafts of about 1 kB."""
    return [draft(new_number(), length=550) for _ in range(number)]


class Ground:
    """One post's outbox that is filled in sets, and the relay before it."""

    def __init__(self, frontier: Frontier, engine: Engine) -> None:
        self.frontier = frontier
        self.engine = engine
        self.outbox = frontier.outbox
        self.outbox.accept(drafts(1))
        self._at = frontier.clock() - timedelta(days=400)
        with writing(engine) as connection:
            self._template = connection.execute(select(outbox.c.position)).scalar_one()
            connection.execute(update(outbox).values(relayed_at_utc=self._at, relayed_mark=1, settled_at_utc=self._at, fate="LOADED"))

    def fill(self, rows: int, *, settled: bool = False) -> None:
        """Add so many rows, accepted long ago, waiting or settled by receipts of 500."""
        with writing(self.engine) as connection:
            here = (stream.c.destination == HOUSE.urn, stream.c.type == EXPORT)
            last: int = connection.execute(select(stream.c.last_sequence).where(*here)).scalar_one()
            then = int(self._at.timestamp() * 1e6)
            values: dict[str, Any] = {"first": last + 1, "last": last + rows, "template": self._template, "at": then}
            values |= {"ms": then // 1000, "house": HOUSE.urn, "relays": 0, "relayed": None, "mark": None, "settled": None, "fate": None}
            if settled:
                values |= {"relays": 1, "relayed": then, "mark": 1, "settled": then, "fate": "LOADED"}
            _fill(connection, values, settled=settled)
            connection.execute(stream.update().where(*here).values(last_sequence=last + rows))
        self.checkpoint()

    def checkpoint(self) -> None:
        """Bring what was filled from the log into the file: that work is not to be measured with the next batch."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def waiting(self) -> int:
        """How many rows wait."""
        return sum(depth.waiting for depth in self.outbox.counts())

    def forget_sent(self) -> None:
        """Take what was sent out of the other side's queue: this process is to hold no more and no less with each round."""
        while sent := self.frontier.house._streams.take(1_000, 0):
            self.frontier.house._streams.ack(sent)

    def relayed(self) -> list[tuple[str, bytes]]:
        """Id and digest of what is on its way."""
        query = select(outbox.c.event_id, outbox.c.digest).where(outbox.c.relayed_at_utc.is_not(None), outbox.c.settled_at_utc.is_(None))
        with self.engine.connect() as connection:
            return [(event_id, bytes(digest)) for event_id, digest in connection.execute(query)]

    def agree(self) -> None:
        """Write down that everything so far was agreed to long ago: then it may be pruned."""
        with writing(self.engine) as connection:
            last = connection.execute(select(stream.c.last_sequence)).scalar_one()
            epoch = connection.execute(select(stream.c.epoch)).scalar_one()
            connection.execute(account.delete())
            connection.execute(closing_stream.delete())
            connection.execute(account.insert(), {"destination": HOUSE.urn, "number": 1, "horizon_seconds": 0})
            row = {"destination": HOUSE.urn, "type": EXPORT, "epoch": epoch, "number": 1, "first": 1, "last": last}
            connection.execute(closing_stream.insert(), {**row, "agreed_at_utc": self._at, "holds_to": last})


def _fill(connection: Connection, values: dict[str, Any], *, settled: bool) -> None:
    connection.execute(text(_FILL), values)
    if settled:
        connection.execute(text(_RECEIPTS), values)


@contextmanager
def ground() -> Iterator[Ground]:
    """An outbox of its own."""
    with tempfile.TemporaryDirectory(prefix="panj-growth-") as folder:
        url = f"sqlite:///{folder}/outbox.sqlite"
        with frontier_at(Path(folder), url) as frontier:
            frontier.relay.close()
            engine = open_engine(url)
            try:
                yield Ground(frontier, engine)
            finally:
                engine.dispose()


def backlog(form: Form) -> list[Curve]:
    """Everything that a post does while so many rows wait."""
    series = Series()
    with ground() as here:
        bounded = Outbox.open(here.frontier.url, POST, "test", here.frontier.clock, room=Room(max_unsettled=1_000_000_000))
        for size in sizes(1_000, form.backlog):
            tally = Tally()
            for _ in range(form.rounds):
                here.fill(max(1, size - here.waiting()))
                _accept(here, tally, bounded)
                _relay(here, tally)
                _settle(here, tally)
                _look(here, tally)
            series.add(size, tally.medians())
        bounded.close()
    return _curves("backlog", "rows that wait at the post", series)


def settled(form: Form) -> list[Curve]:
    """What the settled rows of years cost a post that has no backlog: accepting, relaying, settling, status, pruning, starting."""
    series = Series()
    for size in sizes(10_000, max(form.backlog, 10_000)):
        tally = Tally()
        with ground() as here:
            here.fill(size, settled=True)
            here.agree()
            for _ in range(form.rounds):
                here.fill(max(1, WINDOW - here.waiting()))
                _accept(here, tally)
                _relay(here, tally)
                _settle(here, tally)
                _look(here, tally)
                _prune(here, tally)
        series.add(size, tally.medians())
    return _curves("settled", "settled rows at the post", series)


def _accept(here: Ground, tally: Tally, bounded: Outbox | None = None) -> None:
    batch = drafts(BATCH)
    with tally.of("accept", BATCH):
        here.outbox.accept(batch)
    if bounded is not None:
        batch = drafts(BATCH)
        with tally.of("accept, bounded", BATCH):
            bounded.accept(batch)


def _relay(here: Ground, tally: Tally) -> None:
    relay = here.frontier.new_relay(window_events=WINDOW)
    with tally.of("relay begins"):
        relay.open()
    with tally.of("relay turn", WINDOW):
        for _ in range(3):  # choosing, bundling, signing; then the confirms are recorded
            relay.turn()
    with tally.of("idle turn", IDLE_TURNS):
        for _ in range(IDLE_TURNS):
            relay.turn()
    relay.close()
    here.forget_sent()


def _settle(here: Ground, tally: Tally) -> None:
    rows = here.relayed()
    parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    receipts = [receipt_of(part[0][1] + next(_new).to_bytes(8), len(part)) for part in parts]
    answers = [
        Settlement(event_id, digest, HOUSE.urn, Fate.LOADED, receipt=receipt.digest)
        for part, receipt in zip(parts, receipts, strict=True)
        for event_id, digest in part
    ]
    with tally.of("settle", len(rows)):
        here.outbox.record(Occurrences(settlements=answers, receipts=receipts))


def _look(here: Ground, tally: Tally) -> None:
    with tally.of("status", SCRAPES):
        for _ in range(SCRAPES):
            here.outbox.counts()
            here.outbox.is_quiet()
            here.outbox.accepted()


def _prune(here: Ground, tally: Tally) -> None:
    with tally.of("prune", 1_000):
        (block,) = here.outbox.pruning.blocks(settled_days=1)
        assert here.outbox.pruning.archive(block, Path(here.frontier.url.removeprefix("sqlite:///")).parent / "archive") is not None


def sizes(first: int, last: int) -> list[int]:
    """`first`, and ten times as much each time, up to `last`."""
    found = [first]
    while found[-1] * 10 <= last:
        found.append(found[-1] * 10)
    return found


_UNITS = {"relay begins": "µs a start", "idle turn": "µs a turn", "status": "µs a look"}


def _curves(family: str, against: str, series: Series) -> list[Curve]:
    return [Curve(family, name, against, _UNITS.get(name, DECLARATION), tuple(points)) for name, points in series.points.items()]
