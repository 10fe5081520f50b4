"""What a command about held and parked works with: the house's database, and its consumers where something is tried here.

A dry run and an order that no running house carries out run the consumers of exchange.toml in the command's own process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from broker.settings.code_lists import apply_lists
from broker.settings.model import House, Settings
from broker.trust.anchors import TrustStore
from consumers import migrations
from consumers.database import is_away, open_engine
from consumers.house import house_of, make_pipelines
from consumers.pipeline import Pipeline
from consumers.registry import load_consumer
from consumers.review.values import Action, Chosen, Kind
from schemas.errors import SettingsError, UnavailableError, UsageError


def _stopped() -> threading.Event:
    """A command does not wait for a database that is away: what is done patiently gives up at the first trouble."""
    event = threading.Event()
    event.set()
    return event


@dataclass
class Desk:
    """An operator's desk at one customs house."""

    settings: Settings
    engine: Engine
    stop: threading.Event = field(default_factory=_stopped)

    @classmethod
    @contextmanager
    def of(cls, settings: Settings) -> Iterator[Desk]:
        """Open the house's database for reading and deciding.

        SettingsError where there is no house, its database is empty or older than this software; UnavailableError where it does not answer.
        """
        engine = open_engine(house_of(settings).database)
        try:
            if migrations.current_revision(engine) is None:
                raise SettingsError(
                    "house-database-empty", 'it has no tables yet: start the house with "panj customs run"', field="house.database"
                )
            migrations.make_ready(engine)
            yield cls(settings, engine)
        except DBAPIError as error:
            if not is_away(error):
                raise
            reason = str(error.orig).strip().splitlines()[0][:200]
            raise UnavailableError("house-database-away", f"the house's database does not answer: {reason}") from error
        finally:
            engine.dispose()

    @property
    def house(self) -> House:
        """Its settings."""
        return house_of(self.settings)

    def now(self) -> datetime:
        """This machine's clock."""
        return datetime.now(UTC)

    def waits_until(self, action: Action) -> datetime | None:
        """Until when an order for this action waits for a second person; None where none is needed."""
        return self.now() + timedelta(days=self.house.second_person_days) if action.value in self.house.second_person else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.engine.connect().execution_options(reads=True) as connection, connection.begin():
            yield connection

    @cached_property
    def trust(self) -> TrustStore:
        """The anchors and CRLs of today."""
        return TrustStore.of(self.settings)

    @cached_property
    def pipelines(self) -> dict[str, Pipeline]:
        """The consumers' ways in, by the queue's name among what is held (`record`) and among what is parked (`af-customs.record`)."""
        apply_lists(self.settings.code_lists)
        consumers = [load_consumer(configured) for configured in self.house.consumers]
        found: dict[str, Pipeline] = {}
        for pipeline in make_pipelines(self.settings, consumers, self.engine, self.trust, self.stop):
            found[pipeline.consumer.queue] = pipeline
            found[f"{self.settings.house_party.unit}.{pipeline.consumer.queue}"] = pipeline
        return found

    def check_served(self, kind: Kind, items: tuple[Chosen, ...]) -> None:
        """UsageError `queue-unserved` where something is to be tried for a queue that exchange.toml has no consumer for."""
        unit = self.settings.house_party.unit
        queues = {consumer.queue for consumer in self.house.consumers}
        served = queues if kind is Kind.HELD else {unit, *(f"{unit}.{queue}" for queue in queues)}
        unserved = sorted({item.queue for item in items} - served)
        if unserved:
            raise UsageError(
                "queue-unserved", "exchange.toml names no consumer for this queue: nobody would try it", value=", ".join(unserved)
            )
