"""From AMQP's properties to a `Message`, so that no message can end the connection that brings it.

Whoever has the partner's broker chooses every byte of a message's properties. pika raises in the midst of its connection where it cannot
read them (an instant past the calendar, tables a thousand deep), and names that are not UTF-8 stay bytes: the connection ended, and the
same message came again with the next one. What cannot be read counts as not said; such a message is then parked like any other.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import pika.exceptions
from pika.spec import Basic, BasicProperties

from broker.ports import Message

_UNREADABLE = (ArithmeticError, LookupError, OSError, RecursionError, TypeError, ValueError, struct.error, pika.exceptions.AMQPError)
_decode = BasicProperties.decode


def _decode_or_nothing(self: BasicProperties, encoded: bytes, offset: int = 0) -> BasicProperties:
    try:
        return _decode(self, encoded, offset)
    except _UNREADABLE:
        self.__init__()  # as if it had none: what was read of them says as little
        return self


BasicProperties.decode = _decode_or_nothing


def read_message(routing_key: str | bytes, body: bytes, properties: BasicProperties) -> Message:
    """Give what came as a `Message`: headers that are text or whole numbers, without those that brokers add (`x-…`)."""
    headers: Mapping[str, str | int] = {
        name: value if isinstance(value, str | bool) else int(value)  # pika has a kind of its own for 64 bits
        for name, value in (properties.headers or {}).items()
        if isinstance(name, str) and isinstance(value, str | int) and not name.startswith("x-")
    }
    encoding = properties.content_encoding
    return Message(_text(routing_key), body, headers, _text(properties.content_type or ""), None if encoding is None else _text(encoding))


def read_redeliveries(method: Basic.Deliver, properties: BasicProperties) -> int:
    """Give how often a message was delivered before."""
    count = (properties.headers or {}).get("x-delivery-count")  # quorum queues count: guide "Quorum Queues", poison message handling
    if isinstance(count, int):
        return max(int(count), int(method.redelivered))
    return int(method.redelivered)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
