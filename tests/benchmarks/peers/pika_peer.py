"""The job with plain pika: `python -m tests.benchmarks.peers.pika_peer post|house FILE NUMBER`. Its tuning: the package's docstring."""

from __future__ import annotations

import gc
import logging
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import pika
import psycopg
import structlog
from pika.channel import Channel
from pika.spec import Basic, BasicProperties
from psycopg.errors import UniqueViolation

from broker.amqp.target import target_of
from consumers.context import ReceivedEvent
from tests.benchmarks.peers.houses import CONNECT, COUNT_DUPLICATE, check_duplicate, statement_of
from tests.benchmarks.peers.job import EXCHANGE, Peering, Unit, key_of, open_declaration, open_receipt, receipt_of
from tests.benchmarks.peers.posts import Outbox

Mark = TypeVar("Mark")


class Publishing(Generic[Mark]):
    """Publishes with confirms, many outstanding at once, on a channel that somebody else consumes on, too."""

    def __init__(self, channel: Channel, key: str) -> None:
        self._channel, self._key, self._number = channel, key, 0
        self._outstanding: OrderedDict[int, Mark] = OrderedDict()

    def publish(self, body: bytes, headers: dict[str, str], mark: Mark) -> None:
        """Persistent and mandatory; `mark` comes back from `confirmed`."""
        properties = BasicProperties(headers=headers, delivery_mode=2, content_type="application/cloudevents+json")
        self._channel.basic_publish(EXCHANGE, self._key, body, properties, mandatory=True)
        self._number += 1
        self._outstanding[self._number] = mark

    def confirmed(self, frame: Any) -> list[Mark]:
        """The marks of what the broker has confirmed now."""
        if not isinstance(frame.method, Basic.Ack):
            raise SystemExit("the broker refuses a message")
        tag = frame.method.delivery_tag
        tags = [each for each in self._outstanding if each <= tag] if frame.method.multiple else [tag]
        return [self._outstanding.pop(each) for each in tags]


class Process:
    """One connection, one channel that consumes and publishes, in one loop that ends with whatever goes wrong."""

    def __init__(self, unit: Unit, prefetch: int) -> None:
        self.unit = unit
        self._prefetch = prefetch
        self.channel: Channel
        self.connection = pika.SelectConnection(
            target_of(unit.settings, unit.lane, unit.party, unit.pair).parameters("pika"),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._opened),
            on_open_error_callback=_end,
            on_close_callback=_end,
        )

    def run(self) -> None:
        """Until something ends it."""
        self.connection.ioloop.start()

    def _opened(self, channel: Channel) -> None:
        self.channel = channel
        channel.add_on_close_callback(_end)
        channel.add_on_return_callback(_end)
        channel.basic_qos(prefetch_count=self._prefetch)
        channel.confirm_delivery(self.confirmed)
        channel.basic_consume(self.unit.queue, self.came, callback=lambda _: self.begin())

    def begin(self) -> None:
        """The queue is consumed."""

    def came(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        """A message."""
        raise NotImplementedError

    def confirmed(self, frame: Any) -> None:
        """A confirm."""
        raise NotImplementedError


class Post(Process):
    """Sends what is unsettled, as many at once as the window allows; settles by receipts."""

    def __init__(self, peering: Peering) -> None:
        super().__init__(peering.post, peering.tuning.prefetch)
        self._outbox, self._twice = Outbox(peering.outbox), peering.twice
        self._rows = self._outbox.unsettled()
        self._room = peering.tuning.in_flight
        self._key = key_of(peering.name, peering.house.party, peering.post.party)

    def begin(self) -> None:
        self._publishing = Publishing[None](self.channel, self._key)
        self._outbox.begin()
        self._send()

    def _send(self) -> None:
        while self._room and (row := next(self._rows, None)):
            self._room -= 1
            for _ in range(2 if self._twice and row.position % self._twice == 0 else 1):
                self._publishing.publish(row.raw, self.unit.sign(row.raw), None)

    def confirmed(self, frame: Any) -> None:
        self._publishing.confirmed(frame)

    def came(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        self._room += self._outbox.settle(*open_receipt(body, properties.headers, self.unit))
        channel.basic_ack(method.delivery_tag)
        self._send()


class House(Process):
    """Loads each declaration in a transaction of its own; answers; acknowledges what is answered and confirmed, in order."""

    def __init__(self, peering: Peering, ready: Path) -> None:
        super().__init__(peering.house, peering.tuning.prefetch)
        self._session, self._ready = psycopg.connect(peering.database, **CONNECT), ready
        self._key = key_of(peering.name, peering.post.party, peering.house.party)
        self._answered: OrderedDict[int, bool] = OrderedDict()  # delivery tags, and whether their receipts are confirmed

    def begin(self) -> None:
        self._publishing = Publishing[int](self.channel, self._key)
        self._ready.touch()

    def came(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        event = open_declaration(body, properties.headers, self.unit)
        load(self._session, event, properties.headers["jws"])
        receipt = receipt_of(event, self.unit)
        self._answered[method.delivery_tag] = False
        self._publishing.publish(receipt, self.unit.sign(receipt), method.delivery_tag)

    def confirmed(self, frame: Any) -> None:
        self._answered.update(dict.fromkeys(self._publishing.confirmed(frame), True))
        done = 0
        while self._answered and self._answered[next(iter(self._answered))]:
            done, _ = self._answered.popitem(last=False)
        if done:
            self.channel.basic_ack(done, multiple=True)


def load(session: psycopg.Connection, event: ReceivedEvent, jws: str) -> None:
    """One transaction, which is one statement."""
    try:
        session.execute(*statement_of(event, jws))
    except UniqueViolation:
        check_duplicate(session.execute(COUNT_DUPLICATE, (event.id, event.digest)).rowcount, event)


def _end(*why: object) -> NoReturn:
    raise SystemExit(f"ended: {why}")


def main(role: str, told: str, number: str) -> None:
    """Run one of the two until it is ended."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    peering = Peering.read(told)
    process = Post(peering) if role == "post" else House(peering, Path(f"{told}.ready{number}"))
    gc.freeze()
    process.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
