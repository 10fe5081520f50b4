"""Whoever holds a broker: a client with a certificate of its authority that may do anything there, and says what came of it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pika
import pika.exceptions
from pika.credentials import ExternalCredentials

from broker.ports import Message
from tests.attacks.wire import Strange, raw_values


class Operator:
    """A connection as the operator of a broker, in one lane."""

    def __init__(self, port: int, lane: str, ca: Path, certificate: Path, key: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(certificate, key)
        self._connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                "127.0.0.1", port, lane, ExternalCredentials(), ssl_options=pika.SSLOptions(context, "localhost"), heartbeat=0
            )
        )
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._connection.is_open:
            self._connection.close()

    def publish(self, messages: Sequence[Message], exchange: str = "outbound", strange: Strange | None = None) -> int:
        """Publish with confirms; how many the broker took somewhere."""
        taken = 0
        for message in messages:
            said = {"content_type": message.content_type, "content_encoding": message.content_encoding, "headers": dict(message.headers)}
            properties = strange.properties(**said) if strange else pika.BasicProperties(**said)
            properties.delivery_mode = 2
            try:
                with raw_values():
                    self.channel.basic_publish(exchange, message.routing_key, message.body, properties, mandatory=True)
                taken += 1
            except pika.exceptions.UnroutableError:
                continue
        return taken

    def tap(self, exchange: str = "inbound") -> str:
        """Have a copy of all that comes through an exchange put into a queue of one's own."""
        name = f"tap-{exchange}"
        self.channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
        self.channel.queue_bind(name, exchange, "#")
        return name

    def read(self, queue: str) -> list[Message]:
        """Take all that is in a queue."""
        found: list[Message] = []
        while True:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            headers = {name: value for name, value in (properties.headers or {}).items() if not name.startswith("x-")}
            found.append(Message(method.routing_key, body, headers, properties.content_type, properties.content_encoding))

    def waiting(self, queue: str) -> int:
        """How many messages are ready in a queue, as AMQP says it now."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def drop(self, queue: str) -> None:
        """Remove a queue."""
        self.channel.queue_delete(queue)
