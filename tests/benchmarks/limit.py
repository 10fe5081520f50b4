"""The limit: what the promises cost at the least, each primitive measured with minimal code of its own on the declarations that are sent.

Nothing of this project's pipeline is run here, only what no program in Python could leave out: bundles of 500 under one signature,
set-based writes, the indexes that keep an event from loading twice. The limit is what all cores of this machine could do if nothing else
cost anything. What PostgreSQL and the brokers cost stands in `limit_servers`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from broker.outbox.values import Draft
from broker.settings.model import Settings
from producers.intake import prepare, routes_of
from schemas.content import MODELS
from schemas.event import Event, new_epoch
from schemas.names import Party
from tests.benchmarks.ours import POST, reads
from tests.benchmarks.peers.job import event_of

BUNDLE = 500
PURE = 2_000  # events that the pure primitives are measured on
WRITTEN = 10_000  # events that the databases' are
REPEATS = 5
BYTES_WANTED = 400  # across the frontier per declaration, receipts included, at most
_SEED = 9_000
_ES256 = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class Primitive:
    """One thing that must be done: CPU microseconds per declaration. Not counted: what is not on the way out of a backlog."""

    where: str
    what: str
    us: float
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Limit:
    """All primitives, and how many cores there are."""

    primitives: tuple[Primitive, ...]
    cores: int

    @property
    def us(self) -> float:
        """CPU microseconds per declaration, together."""
        return sum(each.us for each in self.primitives if each.counted)

    @property
    def per_second(self) -> float:
        """Declarations a second that all cores could do."""
        return self.cores / self.us * 1e6


@dataclass(frozen=True, slots=True)
class Packed:
    """A bundle as it travels, made with the cheapest compression that keeps to the bytes wanted."""

    body: bytes
    jws: str

    @property
    def size(self) -> int:
        """Its bytes, header and body."""
        return len(self.body) + len(self.jws)


def bundles_of(settings: Settings, count: int, seed: int = _SEED) -> list[list[bytes]]:
    """The exact bytes of `count` events, in bundles of up to 500 of one type, as they travel."""
    routes, epoch, post = routes_of(settings), new_epoch(), Party("tj", POST)
    by_type: dict[str, list[bytes]] = defaultdict(list)
    for position, read in enumerate(reads(count, seed), start=1):
        draft = prepare(read, "tj", routes).drafts[0]
        assert isinstance(draft, Draft)  # its version is stated
        by_type[draft.type].append(event_of(post, position, epoch, draft.type, draft.reference, dict(draft.data), settings.environment))
    return [events[start : start + BUNDLE] for events in by_type.values() for start in range(0, len(events), BUNDLE)]


def cost(work: Callable[[], object], declarations: int, repeats: int = REPEATS) -> float:
    """CPU microseconds of this thread per declaration: the median of several times."""
    found = []
    for _ in range(repeats):
        begun = time.thread_time()
        work()
        found.append((time.thread_time() - begun) / declarations * 1e6)
    return median(found)


def join(events: Sequence[bytes]) -> bytes:
    """A bundle's body."""
    return b"[\n" + b",\n".join(events) + b"\n]"


def pack(body: bytes, level: int) -> bytes:
    """Compress it."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def unpack(body: bytes) -> bytes:
    """Undo it."""
    return zlib.decompress(body, 31)


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Signer:
    """ES256 over a header that names each event's digest: the profile's form, made with as little as it takes."""

    def __init__(self, x5c: Sequence[str]) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._public = self._key.public_key()
        self._x5c = json.dumps(list(x5c))

    def sign(self, digests: Sequence[bytes]) -> str:
        """Sign the digests; the signature stays in DER, which is no less work to make."""
        listed = ",".join(f'"{_b64(digest)}"' for digest in digests)
        pars = ",".join(f'"{number}"' for number in range(1, len(digests) + 1))
        protected = _b64(f'{{"alg":"ES256","x5c":{self._x5c},"sigD":{{"pars":[{pars}],"hashV":[{listed}]}}}}'.encode())
        return f"{protected}..{_b64(self._key.sign(protected.encode(), _ES256))}"

    def verify(self, jws: str, digests: Sequence[bytes]) -> bool:
        """Check that it signs them; raises where it does not."""
        protected, _, signature = jws.split(".")
        stated = orjson.loads(base64.urlsafe_b64decode(protected + "=="))["sigD"]["hashV"]
        if stated != [_b64(digest) for digest in digests]:
            raise ValueError("other digests")
        self._public.verify(base64.urlsafe_b64decode(signature + "=="), protected.encode(), _ES256)
        return True


def parse(raw: bytes) -> Any:
    """JSON in which no name stands twice: written again it is the same, byte for byte. The cheapest way that is known to us."""
    value = orjson.loads(raw)
    if orjson.dumps(value) != raw:
        raise ValueError("it can be read in two ways")
    return value


def receipt_of(events: Sequence[bytes], digests: Sequence[bytes]) -> bytes:
    """The house's answer to a bundle."""
    ids = (raw[raw.index(b'"id":"') + 6 :][:36].decode() for raw in events)
    answers = [{"id": event_id, "digest": _b64(digest), "fate": "LOADED"} for event_id, digest in zip(ids, digests, strict=True)]
    return orjson.dumps({"data": {"answers": answers}})


def pure(bundles: Sequence[Sequence[bytes]], signer: Signer) -> tuple[list[Primitive], Packed, Packed]:
    """What is computed; and a bundle and its receipt as they travel."""
    count = sum(map(len, bundles))
    bodies = [join(events) for events in bundles]
    digests = [[hashlib.sha256(raw).digest() for raw in events] for events in bundles]
    signatures = [signer.sign(each) for each in digests]
    receipts = [receipt_of(events, each) for events, each in zip(bundles, digests, strict=True)]
    answers = [signer.sign([hashlib.sha256(receipt).digest()]) for receipt in receipts]
    level, packed = _cheapest_level(bodies, signatures, receipts, answers)
    packed_receipts = [pack(receipt, level) for receipt in receipts]
    values = [[parse(raw) for raw in events] for events in bundles]
    both = list(zip(digests, signatures, strict=True))
    found = [
        Primitive("post", "sign a bundle", cost(lambda: [signer.sign(each) for each in digests], count)),
        Primitive("post", f"gzip it (level {level})", cost(lambda: [pack(join(events), level) for events in bundles], count)),
        Primitive("house", "gunzip it", cost(lambda: [unpack(body).split(b",\n") for body in packed], count)),
        Primitive("house", "SHA-256 of each event", cost(lambda: [hashlib.sha256(raw).digest() for raw in _all(bundles)], count)),
        Primitive("house", "verify a bundle", cost(lambda: [signer.verify(jws, each) for each, jws in both], count)),
        Primitive("house", "strict JSON of each event", cost(lambda: [parse(raw) for raw in _all(bundles)], count)),
        Primitive("house", "pydantic: envelope and content", cost(lambda: [_validate(value) for value in _all(values)], count)),
        Primitive("house", "write, sign, gzip a receipt", cost(lambda: _answer(bundles, digests, signer, level), count)),
        Primitive("post", "gunzip, verify, parse it", cost(lambda: _hear(packed_receipts, answers, signer), count)),
    ]
    largest = max(range(len(bundles)), key=lambda number: len(bundles[number]))
    return found, Packed(packed[largest], signatures[largest]), Packed(packed_receipts[largest], answers[largest])


def _cheapest_level(bodies: list[bytes], signatures: list[str], receipts: list[bytes], answers: list[str]) -> tuple[int, list[bytes]]:
    """The lowest level of compression with which a full bundle and its receipt keep to the bytes wanted, TLS and AMQP set aside."""
    full = max(range(len(bodies)), key=lambda number: len(bodies[number]))
    for level in range(1, 10):
        size = len(pack(bodies[full], level)) + len(signatures[full]) + len(pack(receipts[full], level)) + len(answers[full])
        if size / BUNDLE <= BYTES_WANTED:
            break
    return level, [pack(body, level) for body in bodies]


def _answer(bundles: Sequence[Sequence[bytes]], digests: Sequence[Sequence[bytes]], signer: Signer, level: int) -> None:
    for events, each in zip(bundles, digests, strict=True):
        receipt = receipt_of(events, each)
        signer.sign([hashlib.sha256(receipt).digest()])
        pack(receipt, level)


def _hear(receipts: Sequence[bytes], answers: Sequence[str], signer: Signer) -> None:
    for packed, jws in zip(receipts, answers, strict=True):
        receipt = unpack(packed)
        signer.verify(jws, [hashlib.sha256(receipt).digest()])
        parse(receipt)


def _validate(value: dict[str, Any]) -> object:
    Event.model_validate(value)
    return MODELS[value["type"]].model_validate(value["data"])


def _all(groups: Sequence[Sequence[Any]]) -> Iterator[Any]:
    return (each for group in groups for each in group)


def sqlite(bundles: Sequence[Sequence[bytes]], directory: Path) -> list[Primitive]:
    """What the outbox costs, in sets, each transaction synced: accepting is not on the way out of a backlog."""
    connection = sqlite3.connect(directory / "limit.sqlite", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}").close()
    connection.execute(
        "CREATE TABLE outbox (position INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, digest BLOB NOT NULL, settled_at INTEGER, "
        "fate TEXT, raw BLOB NOT NULL)"
    )
    connection.execute("CREATE INDEX outbox_open ON outbox (position) WHERE settled_at IS NULL")
    rows = [[(raw[raw.index(b'"id":"') + 6 :][:36].decode(), hashlib.sha256(raw).digest(), raw) for raw in events] for events in bundles]
    count = sum(map(len, rows))
    insert = "INSERT INTO outbox (event_id, digest, raw) VALUES (?, ?, ?)"
    settle = "UPDATE outbox SET settled_at = 1, fate = 'LOADED' WHERE event_id = ? AND digest = ? AND settled_at IS NULL"
    read = "SELECT raw, digest FROM outbox WHERE settled_at IS NULL AND position > ? ORDER BY position LIMIT 500"
    found = [
        Primitive("post", "SQLite: insert in sets (accepting)", cost(lambda: _execute(connection, insert, rows), count, 1), counted=False),
        Primitive(
            "post", "SQLite: read in sets", cost(lambda: [connection.execute(read, (at,)).fetchall() for at in range(0, count, 500)], count)
        ),
        Primitive(
            "post",
            "SQLite: settle in sets",
            cost(lambda: _execute(connection, settle, [[row[:2] for row in part] for part in rows]), count, 1),
        ),
    ]
    connection.close()
    return found


def _execute(connection: sqlite3.Connection, statement: str, groups: Sequence[Sequence[tuple[Any, ...]]]) -> None:
    for group in groups:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, group)
        connection.execute("COMMIT")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))
