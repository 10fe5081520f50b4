"""A customs house in memory with a real database: its pipeline and workers as they run, and what must be true of its records afterwards."""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select, text

from broker.ports import Message
from broker.settings.model import ConsumerSettings
from consumers import migrations
from consumers.database import open_engine
from consumers.loaders.record.tables import crossing_event, declaration
from consumers.pipeline import Pipeline
from consumers.registry import load_consumer
from consumers.tables import inbox, parked, parked_event
from schemas.fates import Fate
from schemas.names import STREAM_TYPES
from tests.integration.consumers.frontier import Frontier, Post


@dataclass
class House:
    """The Afghan house; `signed` is what its posts signed: digest to source."""

    frontier: Frontier
    engine: Engine
    pipeline: Pipeline
    signed: dict[bytes, str] = field(default_factory=dict)

    def event(self, post: Post, data: dict[str, Any], *event_type: str, **changes: Any) -> bytes:
        """Have a post sign the next event of a stream; it is entered in the register."""
        raw = post.event(data, *event_type, **changes)
        self.signed[hashlib.sha256(raw).digest()] = post.party.urn
        return raw

    def take(self, messages: Sequence[Message]) -> None:
        """Take messages in, as a worker does."""
        self.pipeline.process([self.frontier.delivery(message) for message in messages])

    def wrongs(self) -> list[str]:
        """What is loaded and should not be: other bytes than signed, of somebody else, twice, or rows that no event explains."""
        found: list[str] = []
        with self.engine.connect() as connection:
            for row in connection.execute(select(inbox.c.event_id, inbox.c.source, inbox.c.digest, inbox.c.raw)):
                if hashlib.sha256(row.raw).digest() != bytes(row.digest) or self.signed.get(bytes(row.digest)) != row.source:
                    found.append(f"the inbox holds {row.event_id}, which {row.source} never signed")
            for table in (declaration, crossing_event):
                query = select(table.c.event_id, table.c.reference, inbox.c.fate, inbox.c.raw).join(
                    inbox, inbox.c.event_id == table.c.event_id, isouter=True
                )
                for row in connection.execute(query):
                    if row.fate != Fate.LOADED.value or json.loads(row.raw)["subject"] != row.reference:
                        found.append(f"{row.reference} is loaded, and no event in the inbox explains it")
        return found

    def count(self, fate: Fate) -> int:
        """How many events have this fate."""
        with self.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(inbox).where(inbox.c.fate == fate.value)).scalar_one()

    def parked(self) -> dict[str, int]:
        """What is parked: rows, their `times`, the claimed ids kept, and the bytes kept."""
        with self.engine.connect() as connection:
            rows, times, kept = connection.execute(
                select(func.count(), func.coalesce(func.sum(parked.c.times), 0), func.coalesce(func.sum(parked.c.kept_bytes), 0))
            ).one()
            ids = connection.execute(select(func.count()).select_from(parked_event)).scalar_one()
        return {"rows": int(rows), "times": int(times), "ids": int(ids), "kept": int(kept)}

    def parked_codes(self) -> dict[str, int]:
        """How often which code."""
        with self.engine.connect() as connection:
            query = select(parked.c.code, func.sum(parked.c.times)).group_by(parked.c.code)
            return {code: int(times) for code, times in connection.execute(query)}

    def file_bytes(self) -> int:
        """The size of the database."""
        with self.engine.connect() as connection:
            pages, size = (connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("page_count", "page_size"))
        return int(pages) * int(size)


@contextmanager
def new_house() -> Iterator[House]:
    """A house with an empty database, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="panj-attacks-") as place:
        directory = Path(place)
        frontier = Frontier(directory)
        engine = open_engine(f"sqlite:///{directory}/house.sqlite")
        migrations.make_ready(engine)
        consumer = load_consumer(ConsumerSettings(queue="record", types=tuple(STREAM_TYPES), handler="consumers.loaders.record"))
        try:
            yield House(frontier, engine, Pipeline(consumer, engine, frontier.trust, frontier.expected, threading.Event()))
        finally:
            engine.dispose()
