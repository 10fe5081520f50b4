"""A peer's outbox: SQLite with WAL and synchronous=FULL, one transaction for each row that is settled."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from broker.outbox.values import Draft
from producers.intake import prepare, routes_of
from schemas.event import digest_of, new_epoch
from tests.benchmarks.ours import reads
from tests.benchmarks.peers.job import Peering, event_of

READ_AT_ONCE = 500
_SCHEMA = """
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    accepted_at REAL NOT NULL,
    settled_at REAL,
    fate TEXT,
    raw BLOB NOT NULL
);
CREATE INDEX outbox_open ON outbox (position) WHERE settled_at IS NULL;
CREATE TABLE begun (at REAL NOT NULL);
"""


class Row(NamedTuple):
    """A declaration that is to be sent."""

    position: int
    raw: bytes


class Outbox:
    """One outbox file, opened by one thread."""

    def __init__(self, path: str) -> None:
        new = not Path(path).exists()
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-16000"):
            self._connection.execute(f"PRAGMA {pragma}").close()
        if new:
            self._connection.executescript(_SCHEMA)

    def unsettled(self) -> Iterator[Row]:
        """Every declaration that has no receipt yet, in order, read some hundred at a time."""
        after = 0
        query = "SELECT position, raw FROM outbox WHERE settled_at IS NULL AND position > ? ORDER BY position LIMIT ?"
        while rows := self._connection.execute(query, (after, READ_AT_ONCE)).fetchall():
            yield from (Row(*row) for row in rows)
            after = rows[-1][0]

    def begin(self) -> None:
        """Note that the first one is sent now."""
        self._connection.execute("INSERT INTO begun VALUES (?)", (time.time(),))

    def settle(self, event_id: str, digest: bytes) -> bool:
        """Finish a row, durably; False where no row with this id and digest waits for it."""
        statement = "UPDATE outbox SET settled_at = ?, fate = 'LOADED' WHERE event_id = ? AND digest = ? AND settled_at IS NULL"
        return self._connection.execute(statement, (time.time(), event_id, digest)).rowcount == 1

    def progress(self) -> tuple[bool, int]:
        """Whether sending has begun, and how many are not settled."""
        query = "SELECT EXISTS (SELECT 1 FROM begun), (SELECT count(*) FROM outbox WHERE settled_at IS NULL)"
        begun, left = self._connection.execute(query).fetchone()
        return bool(begun), int(left)

    def seconds(self) -> float:
        """From the first one sent to the last one settled."""
        query = "SELECT (SELECT max(settled_at) FROM outbox) - (SELECT min(at) FROM begun)"
        return float(self._connection.execute(query).fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def fill(peering: Peering, count: int, seed: int) -> None:
    """Make the outbox and accept `count` varied declarations into it: the same that this project accepts, validated the same."""
    post = peering.post
    routes, epoch, now = routes_of(post.settings), new_epoch(), time.time()
    rows = []
    for position, read in enumerate(reads(count, seed), start=1):
        draft = prepare(read, post.settings.country, routes).drafts[0]
        assert isinstance(draft, Draft)  # its version is stated
        raw = event_of(post.party, position, epoch, draft.type, draft.reference, dict(draft.data), post.settings.environment)
        event_id = raw[raw.index(b'"id":"') + 6 :][:36].decode()
        rows.append((position, event_id, draft.reference, digest_of(raw), now, raw))
    outbox = Outbox(peering.outbox)
    outbox._connection.execute("BEGIN")
    outbox._connection.executemany(
        "INSERT INTO outbox (position, event_id, reference, digest, accepted_at, raw) VALUES (?, ?, ?, ?, ?, ?)", rows
    )
    outbox._connection.execute("COMMIT")
    outbox.close()
