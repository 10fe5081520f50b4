"""The job with FastStream: `python -m tests.benchmarks.peers.faststream_peer post|house FILE`. How it is tuned: the package's docstring."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog
import uvloop
from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitMessage, RabbitQueue
from faststream.rabbit.security import RabbitExternalAuth
from psycopg.errors import UniqueViolation
from psycopg_pool import AsyncConnectionPool

from consumers.context import ReceivedEvent
from tests.benchmarks.peers.houses import CONNECT, COUNT_DUPLICATE, check_duplicate, statement_of
from tests.benchmarks.peers.job import EXCHANGE, Peering, Unit, key_of, open_declaration, open_receipt, receipt_of
from tests.benchmarks.peers.posts import Outbox

CONTENT_TYPE = "application/cloudevents+json"
OUTBOUND = RabbitExchange(EXCHANGE, type=ExchangeType.TOPIC, durable=True, declare=False)


async def whole(message: RabbitMessage) -> RabbitMessage:
    """Give the handler the message itself: it needs body and headers as they came."""
    return message


def broker_of(unit: Unit) -> RabbitBroker:
    """One connection for one unit."""
    address = unit.settings.broker
    url = f"amqps://{address.host}:{address.port}/{unit.lane}"
    security, channel = RabbitExternalAuth(ssl_context=unit.tls()), Channel(on_return_raises=True)
    return RabbitBroker(url, security=security, default_channel=channel, logger=None, apply_types=False)


class Sending:
    """Publishes what is unsettled, each message by a task of its own that awaits its confirm, as many at once as the window allows."""

    def __init__(self, peering: Peering, unit: Unit, broker: RabbitBroker, outbox: Outbox) -> None:
        self.window = asyncio.Semaphore(peering.tuning.in_flight)
        self._unit, self._broker, self._outbox, self._twice = unit, broker, outbox, peering.twice
        self._key = key_of(peering.name, peering.house.party, unit.party)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Send from now on."""
        self._start(self._send())

    async def _send(self) -> None:
        self._outbox.begin()
        for row in self._outbox.unsettled():
            await self.window.acquire()
            self._start(publish(self._broker, self._unit, self._key, row.raw))
            if self._twice and row.position % self._twice == 0:
                self._start(publish(self._broker, self._unit, self._key, row.raw))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise SystemExit(f"not sent: {error!r}")


async def publish(broker: RabbitBroker, unit: Unit, key: str, body: bytes) -> None:
    """Sign a message, publish it persistent and mandatory, and await its confirm."""
    await broker.publish(body, exchange=OUTBOUND, routing_key=key, persist=True, headers={**unit.sign(body)}, content_type=CONTENT_TYPE)


def post(peering: Peering) -> FastStream:
    """Send what is unsettled; settle by receipts."""
    unit, outbox = peering.post, Outbox(peering.outbox)
    broker = broker_of(unit)
    app = FastStream(broker, logger=None)
    sending = Sending(peering, unit, broker, outbox)

    @broker.subscriber(
        RabbitQueue(unit.queue, durable=True, declare=False),
        channel=Channel(prefetch_count=peering.tuning.prefetch),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        decoder=whole,
        no_reply=True,
    )
    async def settle(message: RabbitMessage) -> None:
        if outbox.settle(*open_receipt(message.body, message.headers, unit)):
            sending.window.release()

    @app.after_startup
    async def begin() -> None:
        sending.begin()

    return app


def house(peering: Peering, ready: Path) -> FastStream:
    """Load each declaration in a transaction of its own; answer, then acknowledge."""
    unit, tuning = peering.house, peering.tuning
    broker = broker_of(unit)
    app = FastStream(broker, logger=None)
    key = key_of(peering.name, peering.post.party, unit.party)
    pool = AsyncConnectionPool(peering.database, min_size=tuning.sessions, max_size=tuning.sessions, open=False, kwargs=CONNECT, check=None)

    async def load(event: ReceivedEvent, jws: str) -> None:
        async with pool.connection() as session:
            try:
                await session.execute(*statement_of(event, jws))
            except UniqueViolation:
                check_duplicate((await session.execute(COUNT_DUPLICATE, (event.id, event.digest))).rowcount, event)

    @broker.subscriber(
        RabbitQueue(unit.queue, durable=True, declare=False),
        channel=Channel(prefetch_count=tuning.prefetch),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        decoder=whole,
        no_reply=True,
    )
    async def take(message: RabbitMessage) -> None:
        event = open_declaration(message.body, message.headers, unit)
        await load(event, message.headers["jws"])
        await publish(broker, unit, key, receipt_of(event, unit))

    @app.on_startup
    async def open_pool() -> None:
        await pool.open(wait=True)

    @app.after_startup
    async def begin() -> None:
        ready.touch()

    @app.after_shutdown
    async def close_pool() -> None:
        await pool.close()

    return app


def main(role: str, told: str, number: str) -> None:
    """Run one of the two until SIGTERM."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    peering = Peering.read(told)
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def run() -> None:
            app = post(peering) if role == "post" else house(peering, Path(f"{told}.ready{number}"))
            await app.run()

        runner.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
