"""A plain AMQP client with a certificate, to knock at a broker's doors as its users would."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pika
from pika.credentials import ExternalCredentials
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker


class Client:
    """One connection with SASL EXTERNAL; each attempt has a channel of its own, since a refusal closes it."""

    def __init__(self, port: int, vhost: str, ca: Path, certificate: Path, key: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(certificate, key)
        self.connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                "127.0.0.1",
                port,
                vhost,
                ExternalCredentials(),
                ssl_options=pika.SSLOptions(context, "localhost"),
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.connection.is_open:
            with suppress(AMQPConnectionError):  # the broker may have closed it meanwhile
                self.connection.close()

    def publish(self, exchange: str, routing_key: str, body: bytes = b"x") -> str:
        """Publish with a confirm; give "confirmed", "unroutable", "refused" (a nack) or the broker's reply code."""
        channel = self.connection.channel()
        channel.confirm_delivery()
        try:
            channel.basic_publish(exchange, routing_key, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
        except pika.exceptions.UnroutableError:
            return "unroutable"
        except pika.exceptions.NackError:
            return "refused"
        except ChannelClosedByBroker as error:
            return str(error.reply_code)
        channel.close()
        return "confirmed"

    def get(self, queue: str) -> bytes | str | None:
        """Take one message; give its body, None where there is none, or the broker's reply code."""
        channel = self.connection.channel()
        try:
            _, _, body = channel.basic_get(queue, auto_ack=True)
        except ChannelClosedByBroker as error:
            return str(error.reply_code)
        channel.close()
        return None if body is None else bytes(body)

    def declare_queue(self, name: str, **arguments: str) -> str:
        """Declare a durable queue; give "declared" or the broker's reply code."""
        channel = self.connection.channel()
        try:
            channel.queue_declare(name, durable=True, arguments=arguments)
        except ChannelClosedByBroker as error:
            return str(error.reply_code)
        return "declared"

    def declare_exchange(self, name: str) -> str:
        """Declare a topic exchange; give "declared" or the broker's reply code."""
        channel = self.connection.channel()
        try:
            channel.exchange_declare(name, "topic", durable=True)
        except ChannelClosedByBroker as error:
            return str(error.reply_code)
        return "declared"

    def bind(self, queue: str, exchange: str, routing_key: str) -> str:
        """Bind a queue; give "bound" or the broker's reply code."""
        channel = self.connection.channel()
        try:
            channel.queue_bind(queue, exchange, routing_key)
        except ChannelClosedByBroker as error:
            return str(error.reply_code)
        return "bound"
