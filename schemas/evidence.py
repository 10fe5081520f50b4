"""The evidence file: one declaration's events with everything that proves who said what about them. docs/evidence.md describes it.

Reading, writing and sealing stand in `broker.evidence.file`; what is proven by one, in `broker.evidence.verify`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import Field, GetPydanticSchema, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError, core_schema

from schemas.control import Digest, EventId
from schemas.declarations import Administration, Part
from schemas.event import Urn, utc_text
from schemas.limits import BLOCK_EVENTS, CRL_BYTES, EVENT_BYTES, EVIDENCE_CRLS, EVIDENCE_EVENTS, HEADER_BYTES, INTEGER, UNPACKED_BYTES
from schemas.values import Instant, whole

EVIDENCE_SCHEMA = "evidence.v1"
EVIDENCE_MEDIA_TYPE = "application/vnd.panj.evidence+json"


def exact_bytes(limit: int) -> GetPydanticSchema:
    """Describe up to so many bytes as base64 (RFC 4648 section 4, with padding, in its one spelling), for `Annotated[bytes, …]`."""

    def read(value: str) -> bytes:
        try:
            content = base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error):
            content = b""
        if not content or base64.b64encode(content).decode() != value:
            raise PydanticCustomError("bytes_form", "bytes are written in base64 with padding, in their one spelling")
        return content

    characters = (limit + 2) // 3 * 4
    text = core_schema.str_schema(strict=True, min_length=4, max_length=characters)
    schema = core_schema.union_schema(
        [core_schema.no_info_after_validator_function(read, text), core_schema.bytes_schema(strict=True, max_length=limit)],
        mode="left_to_right",
        serialization=core_schema.plain_serializer_function_ser_schema(lambda value: base64.b64encode(value).decode()),
    )
    shape: dict[str, Any] = {"type": "string", "contentEncoding": "base64", "minLength": 4, "maxLength": characters}
    return GetPydanticSchema(lambda _source, _handler: schema, lambda _schema, _handler: dict(shape))


Jws = Annotated[str, Field(max_length=HEADER_BYTES, pattern=r"^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]{86}$", description="header..signature")]
Moment = Annotated[Instant, PlainSerializer(utc_text)]


class Statement(Part):
    """A signed event as it was said: its exact bytes and the signature of the bundle that it travelled in, whose `hashV` has its digest.

    `received_at` and `crls` (digests of lists in the file) are the exporter's own records of its coming, and of what its certificates
    were checked against then; where the exporter said it itself they are absent.
    """

    raw: Annotated[bytes, exact_bytes(EVENT_BYTES)]
    jws: Jws
    received_at: Moment | None = None
    crls: tuple[Digest, ...] = Field(default=(), max_length=EVIDENCE_CRLS)


class BlockLine(Part):
    """One line of a closing's block: an event of the stream, and the SHA-256 of its exact bytes."""

    sequence: Annotated[int, whole(1, INTEGER)]
    id: EventId
    digest: Digest


class ClosingEvidence(Part):
    """The closing that covers an event: what each side signed, and the lines of the event's block, from which its digest is computed."""

    manifest: Statement
    answer: Statement
    lines: tuple[BlockLine, ...] = Field(min_length=1, max_length=BLOCK_EVENTS)


class EventEvidence(Part):
    """One event and what was said about it.

    `plaintext`: of an event that was encrypted, what the house decrypted. `withdrawal`: the sender's tombstone for it; where that came
    to the house instead of the event, the event's own bytes are not there.
    """

    event: Statement | None = None
    plaintext: Annotated[bytes, exact_bytes(UNPACKED_BYTES)] | None = None
    withdrawal: Statement | None = None
    receipt: Statement | None = None
    closing: ClosingEvidence | None = None

    @model_validator(mode="after")
    def _says_of_what(self) -> EventEvidence:
        if self.event is None and self.withdrawal is None:
            raise ValueError("an entry holds an event, or the withdrawal of one")
        return self


class CrlEvidence(Part):
    """A certificate revocation list that the exporter held; the numbers and instants stand in `der` too, and are here for readers."""

    country: Administration
    number: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,48})$")]
    this_update: Moment
    next_update: Moment
    der: Annotated[bytes, exact_bytes(CRL_BYTES)]


class Account(Part):
    """What the exporter hands over. All of it is under its seal."""

    exporter: Urn
    environment: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    events: tuple[EventEvidence, ...] = Field(min_length=1, max_length=EVIDENCE_EVENTS)
    crls: tuple[CrlEvidence, ...] = Field(default=(), max_length=EVIDENCE_CRLS)


class EvidenceFile(Part):
    """The whole file: one compact line of ASCII. `seal` is the exporter's signature over the bytes of `account` as they stand in it."""

    format: Literal["urn:panj:schema:evidence.v1"]
    account: Account
    seal: Jws
