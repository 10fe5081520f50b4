"""What `panj trust review` costs in a house that keeps much: of ten posts, one has its certificate revoked. A year of events, evenly.

Run: python -m tests.benchmarks.backdating URL [EVENTS] [BUNDLE]; the last line is JSON. The database must be empty.
"""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from broker.trust.signing import sign
from consumers import migrations
from consumers.backdating import suspected
from consumers.database import insert_rows, open_engine
from consumers.inbox import InboxRow, write_rows
from consumers.tables import evidence
from schemas.event import digest_of, new_id
from schemas.fates import Fate
from tests.unit.trust.certificates import NOW, crl, identity, leaf, root, trust_in

POSTS = 10
EVENT_BYTES = 1_500
YEAR = timedelta(days=365)
AUTHORITY = root("authority of tj", since=NOW - 2 * YEAR)
PAIRS = [leaf(AUTHORITY, f"urn:customs:tj:post-{number}", since=NOW - 2 * YEAR) for number in range(POSTS)]
SENDERS = [identity(pair, urn=f"urn:customs:tj:post-{number}") for number, pair in enumerate(PAIRS)]


def main(url: str, count: int = 100_000, bundle: int = 100) -> None:
    """Keep `count` events of a year, in bundles of so many, and tell how long the review takes."""
    engine = open_engine(url)
    migrations.make_ready(engine)
    began = time.perf_counter()
    for start in range(0, count, 5_000):
        _keep(engine, range(start, min(start + 5_000, count)), count, bundle)
    filled = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        trust = trust_in(place, tj=AUTHORITY)
        (place / "tj" / "tj.crl").write_bytes(
            crl(AUTHORITY, 2, [PAIRS[0].certificate.serial_number], since=NOW - timedelta(days=10), until=NOW + 100 * YEAR)
        )
        trust.reload()
        seconds = []
        for _ in range(3):
            with engine.connect().execution_options(reads=True) as connection, connection.begin():
                began = time.perf_counter()
                (found,) = suspected(connection, trust, timedelta(days=30))
                seconds.append(round(time.perf_counter() - began, 3))
    result = {"events": count, "bundle": bundle, "listed": len(found.events), "earlier": found.earlier, "filled_seconds": round(filled, 1)}
    sys.stdout.write(json.dumps(result | {"review_seconds": seconds, "bytes": _size(engine)}) + "\n")


def _keep(engine: Engine, numbers: range, count: int, bundle: int) -> None:
    """Write these events as loading does, each bundle with its signature."""
    rows: list[InboxRow] = []
    signatures: list[tuple[Any, ...]] = []
    for start in range(numbers.start, numbers.stop, bundle):
        post = start // bundle % POSTS
        came = NOW - YEAR * (1 - start / count)
        events = list(_events(post, range(start, min(start + bundle, numbers.stop))))
        jws = sign([digest_of(raw) for _, _, raw in events], SENDERS[post], came)
        name = digest_of(jws.encode())
        signatures.append((name, jws, SENDERS[post].urn, SENDERS[post].fingerprint, came, came, None))
        for event_id, number, raw in events:
            place = (SENDERS[post].urn, "urn:customs:af:customs", "customs.export-declaration.v1", "0123456789abcdef", number)
            known = (event_id, place, f"TJ/PNJ/2026/{number}", 1, digest_of(raw), Fate.LOADED, (), came, name)
            rows.append(InboxRow(*known, content=None, reply_key=None, raw=raw, purpose="customs-control", legal_basis="protocol"))
    with engine.begin() as connection:
        insert_rows(connection, evidence, signatures)
        write_rows(connection, rows, NOW)


def _events(post: int, numbers: range) -> Iterator[tuple[str, int, bytes]]:
    for number in numbers:
        yield new_id(), number + 1, secrets.token_hex(EVENT_BYTES // 2).encode()


def _size(engine: Engine) -> int:
    """What the database takes."""
    if engine.dialect.name == "sqlite":
        return Path(str(engine.url.database)).stat().st_size
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))
