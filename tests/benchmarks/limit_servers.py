"""The limit's other half: what PostgreSQL and the two brokers cost at the least, measured in the laboratory where the rounds ran."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from pika.channel import Channel
from pika.spec import Basic, BasicProperties
from sqlalchemy import create_engine

from broker.bundle.open import OpenEvent
from consumers import migrations
from consumers.decisions import check
from consumers.loaders.record.rows import crossing_row, declaration_row, item_row
from deploy.lab.laboratory import Laboratory
from schemas.crossing import CrossingEvent
from schemas.event import Event
from schemas.sealed import Plaintext
from schemas.strict_json import parse
from tests.benchmarks.limit import BUNDLE, PURE, WRITTEN, Limit, Packed, Primitive, Signer, bundles_of, cores, pure, sqlite
from tests.benchmarks.ours import shared_cpu
from tests.benchmarks.peers.houses import inbox_row
from tests.benchmarks.peers.job import Peering, Unit, key_of
from tests.benchmarks.peers.peer import join
from tests.benchmarks.peers.pika_peer import Process, Publishing
from tests.benchmarks.peers.tunings import TUNINGS

NAME = "limit"
MESSAGES, SMALL_MESSAGES, SMALL_BYTES = 150, 1_500, 1_000
PATIENCE_SECONDS = 120.0
# The tables of record with no more than what keeps an event, and a version, from standing twice.
_TABLES = {
    "inbox": ("PRIMARY KEY (event_id)", "UNIQUE (epoch, sequence, source, type, destination)"),
    "declaration": ("PRIMARY KEY (event_id)", "UNIQUE (reference, version)"),
    "declaration_item": ("PRIMARY KEY (event_id, number)",),
    "crossing_event": ("PRIMARY KEY (event_id)", "UNIQUE (reference)"),
}
Rows = dict[str, list[tuple[Any, ...]]]


def measure_limit(lab: Laboratory) -> Limit:
    """Measure every primitive; half a minute."""
    settings = lab.tj.settings
    computed, bundle, receipt = pure(bundles_of(settings, PURE), Signer(_chain(lab)))
    written = bundles_of(settings, WRITTEN)
    stored = [*sqlite(written, lab.directory), *postgresql(written, lab)]
    return Limit((*computed, *stored, *brokers(lab, bundle, receipt)), cores())


def _chain(lab: Laboratory) -> Sequence[str]:
    return _units(lab)[0].identity.x5c


def _units(lab: Laboratory) -> tuple[Unit, Unit]:
    peering = Peering(NAME, str(lab.tj.config), str(lab.af.config), "", "", TUNINGS["pika"])
    return peering.post, peering.house


def postgresql(bundles: Sequence[Sequence[bytes]], lab: Laboratory) -> list[Primitive]:
    """COPY of all rows of each bundle in one transaction, fsync on: the client's CPU and the server's."""
    assert lab.postgres is not None
    database = lab.postgres.create_database(NAME)
    engine = create_engine(database)
    migrations.make_ready(engine)
    engine.dispose()
    batches = [_rows(events) for events in bundles]
    count = sum(map(len, bundles))
    with psycopg.connect(database.replace("+psycopg", "", 1), autocommit=True) as connection:
        for table, keys in _TABLES.items():
            connection.execute(f"CREATE TABLE {NAME}_{table} (LIKE {table})")
            connection.execute(f"ALTER TABLE {NAME}_{table} " + ", ".join(f"ADD {key}" for key in keys))
        connection.execute("CHECKPOINT")
        served, own = shared_cpu(lab)["postgresql"], time.thread_time()
        for rows in batches:
            with connection.transaction(), connection.cursor() as cursor:
                for table, listed in rows.items():
                    with cursor.copy(f"COPY {NAME}_{table} FROM STDIN") as copy:
                        for row in listed:
                            copy.write_row(row)
        own, served = time.thread_time() - own, shared_cpu(lab)["postgresql"] - served
    return [
        Primitive("house", "PostgreSQL: COPY in sets, the client's part", own / count * 1e6),
        Primitive("postgresql", "PostgreSQL: COPY in sets, the server's part", served / count * 1e6),
    ]


def _rows(events: Sequence[bytes]) -> Rows:
    rows: Rows = {table: [] for table in _TABLES}
    for raw in events:
        event, now = Event.model_validate(parse(raw)), datetime.now(UTC)
        received = check(OpenEvent(event, raw, hashlib.sha256(raw).digest()), Plaintext(event.data, b""), now)
        rows["inbox"].append(inbox_row(received, ""))
        if isinstance(received.data, CrossingEvent):
            rows["crossing_event"].append(crossing_row(received))
        else:
            rows["declaration"].append(declaration_row(received))
            rows["declaration_item"].extend(item_row(received.id, item) for item in received.data.items)
    return {table: listed for table, listed in rows.items() if listed}


def brokers(lab: Laboratory, bundle: Packed, receipt: Packed) -> list[Primitive]:
    """Messages over the federated TLS link and back, persistent, confirmed, out of quorum queues: the brokers' CPU and the clients'."""
    post, house = _units(lab)
    join(NAME, post, house)
    small = _cross(lab, post, house, Packed(bytes(SMALL_BYTES), ""), SMALL_MESSAGES)
    there = _cross(lab, post, house, bundle, MESSAGES)
    back = _cross(lab, house, post, receipt, MESSAGES)
    per_byte = max(there.brokers_us - small.brokers_us, 0.0) / (bundle.size - SMALL_BYTES)
    return [
        Primitive("brokers", f"both brokers: a bundle of {bundle.size:,} bytes", there.brokers_us / BUNDLE),
        Primitive("brokers", f"both brokers: its receipt of {receipt.size:,} bytes", back.brokers_us / BUNDLE),
        Primitive("post", "AMQP client: publish bundles, take receipts", (there.sender_us + back.receiver_us) / BUNDLE),
        Primitive("house", "AMQP client: take bundles, publish receipts", (there.receiver_us + back.sender_us) / BUNDLE),
        Primitive("brokers", f"both brokers: one message of {SMALL_BYTES:,} bytes", small.brokers_us, counted=False),
        Primitive("brokers", "both brokers: each 1,000 bytes more of a message", per_byte * 1_000, counted=False),
    ]


@dataclass(frozen=True, slots=True)
class Crossed:
    """CPU microseconds of one message: both brokers', and each client's."""

    brokers_us: float
    sender_us: float
    receiver_us: float


class Sender(Process):
    """Publishes so many messages, all outstanding at once, until all are confirmed."""

    def __init__(self, unit: Unit, key: str, message: Packed, count: int) -> None:
        super().__init__(unit, 1)
        self._key, self._message, self._left = key, message, count

    def begin(self) -> None:
        publishing = self._publishing = Publishing[None](self.channel, self._key)
        for _ in range(self._left):
            publishing.publish(self._message.body, {"jws": self._message.jws}, None)

    def confirmed(self, frame: Any) -> None:
        self._left -= len(self._publishing.confirmed(frame))
        if not self._left:
            self.connection.ioloop.stop()


class Receiver(Process):
    """Takes so many messages, acknowledging ten at once."""

    def __init__(self, unit: Unit, count: int, ready: threading.Event) -> None:
        super().__init__(unit, 100)
        self._left, self._ready = count, ready

    def begin(self) -> None:
        self._ready.set()

    def came(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        self._left -= 1
        if self._left % 10 == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if not self._left:
            self.connection.ioloop.call_later(0.2, self.connection.ioloop.stop)  # until the last acknowledgement is written


def _cross(lab: Laboratory, origin: Unit, destination: Unit, message: Packed, count: int) -> Crossed:
    ready = threading.Event()
    used: dict[str, float] = {}

    def run(name: str, made: Callable[[], Process]) -> None:
        begun = time.thread_time()
        made().run()
        used[name] = time.thread_time() - begun

    key = key_of(NAME, destination.party, origin.party)
    receiving = threading.Thread(target=run, args=("receiver", lambda: Receiver(destination, count, ready)), daemon=True)
    receiving.start()
    if not ready.wait(PATIENCE_SECONDS):
        raise SystemExit("the limit: the queue cannot be consumed")
    before = shared_cpu(lab)["brokers"]
    sending = threading.Thread(target=run, args=("sender", lambda: Sender(origin, key, message, count)), daemon=True)
    sending.start()
    for thread in (sending, receiving):
        thread.join(PATIENCE_SECONDS)
        if thread.is_alive() or len(used) < (1 if thread is sending else 2):
            raise SystemExit("the limit: not all messages crossed")
    spent = shared_cpu(lab)["brokers"] - before
    return Crossed(*(seconds / count * 1e6 for seconds in (spent, used["sender"], used["receiver"])))
