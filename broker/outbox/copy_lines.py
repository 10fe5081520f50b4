"""The lines of a second copy: one event, or one withdrawal, a line, with a checksum. Pure; where they are kept stands in `copy_files`.

A line is a JSON object, a tab, the SHA-256 over the JSON's bytes in hex, and a newline. JSON writes no tab into a string, and no newline:
a line that was torn, or went bad on the stick, does not fit its checksum and is left out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from broker.trust.signing import b64url, unb64url

FORMAT = 1  # of the lines; a reader takes no other


@dataclass(frozen=True, slots=True)
class CopiedEvent:
    """What the outbox needs to send an event after all: its exact bytes, its name here, and, if withdrawn, its tombstone's bytes."""

    event_id: str
    reference: str
    version: int
    content_digest: bytes
    raw: bytes = field(repr=False)
    reply_key: bytes | None = field(default=None, repr=False)
    withdrawal: bytes | None = field(default=None, repr=False)


def encode(event: CopiedEvent) -> bytes:
    """Write an event as one line."""
    said = {
        "copy": FORMAT,
        "id": event.event_id,
        "reference": event.reference,
        "version": event.version,
        "content": b64url(event.content_digest),
        "reply": None if event.reply_key is None else b64url(event.reply_key),
        "event": event.raw.decode(),
        "withdrawal": None if event.withdrawal is None else event.withdrawal.decode(),
    }
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    return b"%s\t%s\n" % (text, hashlib.sha256(text).hexdigest().encode())


def decode(line: bytes) -> CopiedEvent | None:
    """Read one line, without its newline; None where it is torn or damaged."""
    text, tab, checksum = line.partition(b"\t")
    if not tab or hashlib.sha256(text).hexdigest().encode() != checksum:
        return None
    said = json.loads(text)
    if said.get("copy") != FORMAT:
        return None
    reply, withdrawal = said["reply"], said["withdrawal"]
    return CopiedEvent(
        said["id"],
        said["reference"],
        said["version"],
        unb64url(said["content"]) or b"",
        said["event"].encode(),
        None if reply is None else unb64url(reply),
        None if withdrawal is None else withdrawal.encode(),
    )


def decode_all(content: bytes) -> tuple[list[CopiedEvent], int]:
    """Read the lines of a segment; gives those that are whole, and how many are not."""
    read = [decode(line) for line in content.split(b"\n") if line]
    whole = [event for event in read if event is not None]
    return whole, len(read) - len(whole)
