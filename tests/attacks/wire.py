"""AMQP as nobody should speak it: properties and headers that a client library does not make and a broker passes on."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pika.data
from pika import BasicProperties


class Raw(bytes):
    """A header's value as it goes over the wire: its kind and its bytes (AMQP 0-9-1, 4.2.5.5)."""


@contextmanager
def raw_values() -> Iterator[None]:
    """Let pika send `Raw` values within."""
    usual = pika.data.encode_value

    def encode(pieces: list[bytes], value: Any) -> int:
        if isinstance(value, Raw):
            pieces.append(bytes(value))
            return len(value)
        if isinstance(value, float):
            pieces.append(struct.pack(">cd", b"d", value))
            return 9
        return int(usual(pieces, value))

    pika.data.encode_value = encode
    try:
        yield
    finally:
        pika.data.encode_value = usual


@dataclass(frozen=True, slots=True)
class Strange:
    """A message with something strange about it; `said` of its properties is added to honest ones."""

    name: str
    said: dict[str, Any]
    headers: dict[Any, Any]
    routing_key: Any = None

    def properties(self, **honest: Any) -> BasicProperties:
        """The properties with this strangeness among honest ones."""
        headers = {**honest.pop("headers", {}), **self.headers}
        made = BasicProperties(**{**honest, "headers": headers})
        for name, value in self.said.items():
            setattr(made, name, value)
        return made


def deep(kind: bytes, levels: int) -> Raw:
    """A value nested so many times: arrays (`A`) or tables (`F`)."""
    inner = b""
    for _ in range(levels):
        inner = (
            struct.pack(">cI", kind, len(inner)) + inner if kind == b"A" else struct.pack(">cI", b"F", len(inner) + 2) + b"\x01a" + inner
        )
        if kind == b"F" and len(inner) < 12:
            inner = struct.pack(">cI", b"F", 0)
    return Raw(inner)


STRANGE: tuple[Strange, ...] = (
    Strange("a header's name that is not UTF-8", {}, {b"\xff\xfe": "x"}),
    Strange("an empty header's name", {}, {"": "x"}),
    Strange("an instant past the calendar", {}, {"at": Raw(b"T" + b"\xff" * 8)}),
    Strange("an instant in the year 200,000", {}, {"at": Raw(b"T" + struct.pack(">Q", 6_000_000_000_000))}),
    Strange("arrays 6,000 deep", {}, {"deep": deep(b"A", 6_000)}),
    Strange("a decimal with 255 places", {}, {"number": Raw(b"D\xff\x7f\xff\xff\xff")}),
    Strange("an infinite number as the count", {}, {"events": Raw(b"f" + struct.pack(">f", 1e38))}),
    Strange("the count as a byte", {}, {"events": Raw(b"b\x03")}),
    Strange("the count as 64 bits", {}, {"events": Raw(b"l" + struct.pack(">q", 2**62))}),
    Strange("the signature as bytes", {}, {"jws": b"\xff\xfe"}),
    Strange("the signature as text that is not UTF-8", {}, {"jws": Raw(b"S" + struct.pack(">I", 2) + b"\xff\xfe")}),
    Strange("the signature as a table", {}, {"jws": {"a": {"b": "c"}}}),
    Strange("the source as an array", {}, {"source": ["urn:customs:tj:panji-poyon"]}),
    Strange("the source empty and void", {}, {"source": None}),
    Strange("a content type that is not UTF-8", {"content_type": b"\xff\xfe"}, {}),
    Strange("a content encoding that is not UTF-8", {"content_encoding": b"\xff\xfe"}, {}),
    Strange("a message id that is not UTF-8", {"message_id": b"\xff\xfe"}, {}),
    Strange("a timestamp past the calendar", {"timestamp": 2**64 - 1}, {}),
    Strange("the broker's own marks forged", {}, {"x-delivery-count": 1_000, "x-death": [{"count": 2**40}], "x-received-from": [{"a": 1}]}),
    Strange("marks of another type", {}, {"x-delivery-count": "many", "x-death": "x"}),
    Strange("other keys beside the routing key", {}, {"CC": ["af-customs", "#"], "BCC": ["x" * 200]}),
    Strange("a hundred kilobytes of headers", {}, {f"h{number}": "x" * 500 for number in range(150)}),
    Strange("a terminal's escapes in the headers", {"content_type": "\x1b[2J\x1b[31m"}, {"source": "\x1b]0;owned\x07", "type": "a\nb\r"}),
    Strange("a reply wanted elsewhere", {"reply_to": "af-customs", "correlation_id": "x"}, {}),
)
