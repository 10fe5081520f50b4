"""A bundle's body: one compact event a line, so that it is valid JSON for anyone and its exact event bytes are found without parsing.

    [ newline, events joined by "," newline, newline ]          application/cloudevents-batch+json

An event holds no newline: JSON writes one inside a string as an escape. What the lines mean is read in `open`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from broker.ports import Message
from schemas.errors import DistrustError
from schemas.limits import BODY_BYTES, BUNDLE_EVENTS, EVENT_BYTES, UNPACKED_BYTES

CONTENT_TYPE = "application/cloudevents-batch+json"
GZIP = "gzip"
_HEAD, _BETWEEN, _TAIL = b"[\n", b",\n", b"\n]"
_GZIP_WBITS = 31  # zlib's number for a gzip header and trailer


def join(events: Sequence[bytes]) -> bytes:
    """Put the exact bytes of events into one body."""
    return _HEAD + _BETWEEN.join(events) + _TAIL


def split(body: bytes) -> list[bytes]:
    """Give the exact bytes of each event; `join` of them is `body` again. DistrustError `bundle-…` where it is no such body."""
    if len(body) < len(_HEAD) + len(_TAIL) or not body.startswith(_HEAD) or not body.endswith(_TAIL):
        raise DistrustError("bundle-form", "the body is not a list of events, one a line")
    events = body[len(_HEAD) : -len(_TAIL)].split(_BETWEEN, BUNDLE_EVENTS)
    if len(events) > BUNDLE_EVENTS:
        raise DistrustError("bundle-count", f"a bundle holds at most {BUNDLE_EVENTS} events")
    for event in events:
        if len(event) > EVENT_BYTES:
            raise DistrustError("bundle-event-too-large", f"an event is larger than {EVENT_BYTES} bytes", value=len(event))
        if not event.startswith(b"{") or not event.endswith(b"}") or b"\n" in event:
            raise DistrustError("bundle-form", "the body is not a list of events, one a line")
    return events


def compress(body: bytes) -> tuple[bytes, str | None]:
    """Give the body as it travels and its content encoding: gzip where that is smaller. The same body gives the same bytes."""
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP_WBITS)
    packed = packer.compress(body) + packer.flush()
    return (packed, GZIP) if len(packed) < len(body) else (body, None)


def expand(body: bytes, encoding: str | None) -> bytes:
    """Undo `compress` without ever holding more than 16 MiB; DistrustError where it is too large, no gzip, or more than one stream."""
    if len(body) > BODY_BYTES:
        raise DistrustError("bundle-too-large", f"the body is larger than {BODY_BYTES} bytes", value=len(body))
    if encoding is None:
        return body
    if encoding != GZIP:
        raise DistrustError("bundle-encoding", "only gzip is taken as content encoding", field="content_encoding", value=encoding)
    unpacker = zlib.decompressobj(_GZIP_WBITS)
    try:
        unpacked = unpacker.decompress(body, UNPACKED_BYTES + 1)
    except zlib.error:
        raise DistrustError("bundle-gzip", "the body is not gzip, or broken") from None
    if len(unpacked) > UNPACKED_BYTES:
        raise DistrustError("bundle-too-large", f"the body unpacks to more than {UNPACKED_BYTES} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise DistrustError("bundle-gzip", "the body is cut short or followed by something else")
    return unpacked


def claimed_bytes(message: Message) -> int:
    """How large a body says to be once unpacked, without unpacking it: gzip's own last four bytes. `expand` refuses a lie."""
    if message.content_encoding != GZIP:
        return len(message.body)
    return max(len(message.body), int.from_bytes(message.body[-4:], "little"))
