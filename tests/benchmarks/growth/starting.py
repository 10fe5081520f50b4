"""How long a post's daemon takes from its start until it relays, against the settled rows that it keeps: real brokers, its own process."""

from __future__ import annotations

import statistics
import time

from sqlalchemy import create_engine, text

from deploy.lab.laboratory import Laboratory, laboratory
from tests.benchmarks.growth.curves import Curve
from tests.benchmarks.growth.measuring import Form, Series
from tests.benchmarks.growth.post import sizes
from tests.benchmarks.ours import PATIENCE, POST, Bench, tell

STARTS = 3
READY = "relay.started"
_PATIENCE_SECONDS = 60.0

# Like `post`'s rows, in an outbox that a daemon then runs on: everything but numbers from one row that was really settled.
_SETTLED = """
    INSERT INTO outbox (event_id, destination, type, epoch, sequence, reference, version, content_digest, digest, bytes, accepted_at_utc,
        relays, learned, raw, relayed_at_utc, relayed_mark, settled_at_utc, fate, receipt_digest)
    WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
    SELECT printf('%08x-%04x-7%03x-8%03x-%012x', (1700000000000 + i) >> 16, (1700000000000 + i) & 65535, abs(random()) % 4096,
            abs(random()) % 4096, abs(random()) % 281474976710656),
        t.destination, t.type, t.epoch, i, 'TJ/PNJ/2026/f' || i, 1, randomblob(32), t.digest, t.bytes, t.accepted_at_utc,
        1, 0, t.raw, t.relayed_at_utc, t.relayed_mark, t.settled_at_utc, t.fate, t.receipt_digest
    FROM n, (SELECT * FROM outbox WHERE fate = 'LOADED' ORDER BY position LIMIT 1) AS t
"""
_HEAD = "UPDATE stream SET last_sequence = :last WHERE type = (SELECT type FROM outbox WHERE fate = 'LOADED' ORDER BY position LIMIT 1)"


def by_settled_rows(form: Form) -> list[Curve]:
    """From exec to a relay that holds the lease and listens; the median of some starts."""
    series = Series()
    with laboratory("sqlite", timing=PATIENCE, tell=tell) as lab:
        bench = Bench(lab)
        lab.spawn_house(lab.af)
        post = lab.spawn_post(lab.tj, POST)
        bench.fill(10)
        bench.drain_all()
        post.terminate()
        bench.close()
        filled = 1_000
        for size in (1_000, *sizes(10_000, form.backlog)):
            _fill(lab, filled + 1, size)
            filled = max(filled, size)
            took = [_start(lab) for _ in range(STARTS)]
            series.add(
                size, {"ready": statistics.median(ready for ready, _ in took), "processor": statistics.median(cpu for _, cpu in took)}
            )
    return [Curve("start", name, "settled rows at the post", "ms a start", tuple(points)) for name, points in series.points.items()]


def _fill(lab: Laboratory, first: int, last: int) -> None:
    engine = create_engine(lab.tj.settings.posts[POST].outbox)
    with engine.begin() as connection:
        if last > first:
            connection.execute(text(_SETTLED), {"first": first, "last": last})
            connection.execute(text(_HEAD), {"last": last})
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def _start(lab: Laboratory) -> tuple[float, float]:
    """Start the daemon and end it again; milliseconds until it was ready, and of its processor time by then."""
    log = lab.directory / "log" / f"tj-{POST}.log"
    before = log.stat().st_size if log.exists() else 0
    began = time.monotonic()
    post = lab.spawn_post(lab.tj, POST)
    while READY not in log.read_text()[before:]:
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise SystemExit(f"the post did not start: {post.log_tail()}")
        time.sleep(0.005)
    ready, cpu = time.monotonic() - began, post.cpu_seconds()
    post.terminate()
    return ready * 1e3, cpu * 1e3
