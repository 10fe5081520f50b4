"""The outer event: CloudEvents 1.0 in JSON format, with Panj's extension attributes, and its exact bytes.

Everything here is signed. What `data` holds is checked by the model of its `type` (`schemas.content.model_of`), apart from this.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from uuid_utils.compat import uuid7

from schemas import strict_json
from schemas.limits import INTEGER
from schemas.names import ID_PATTERN, STREAM_TYPES, TYPE_PATTERN, URN_PATTERN
from schemas.text import Text

Urn = Annotated[str, Field(pattern=URN_PATTERN, max_length=100)]


_RFC3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z\Z", re.ASCII)


def _as_rfc3339(value: object) -> object:
    if not isinstance(value, datetime) and not (isinstance(value, str) and _RFC3339_UTC.match(value)):
        raise ValueError("an event's time is RFC 3339 in UTC (ends in Z)")  # pydantic alone would take numbers and other spellings too
    return value


def _in_utc(instant: datetime) -> datetime:
    if instant.utcoffset() != UTC.utcoffset(None):
        raise ValueError("an event's time is in UTC (ends in Z)")
    return instant


class Event(BaseModel):
    """One event as it is signed.

    `sequence` and `epoch` stand on stream events only; `time` is the instant of acceptance; `salt` makes a digest tell nothing about
    its content. Attribute names are CloudEvents' (lower case, no separators), see CloudEvents 1.0, "Context Attributes".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    specversion: Literal["1.0"]
    id: str = Field(pattern=ID_PATTERN)
    source: Urn
    type: str = Field(pattern=TYPE_PATTERN, max_length=60)
    subject: Text = Field(min_length=1, max_length=200)
    time: Annotated[AwareDatetime, BeforeValidator(_as_rfc3339), AfterValidator(_in_utc)]
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str = Field(pattern=r"^urn:panj:schema:[a-z0-9.-]+$", max_length=100)
    destination: Urn
    environment: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    sequence: int | None = Field(default=None, ge=1, le=INTEGER, strict=True)
    epoch: str | None = Field(default=None, pattern=r"^[0-9a-f]{16}$")
    purpose: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    legalbasis: Text = Field(min_length=1, max_length=200)
    salt: str = Field(pattern=r"^[A-Za-z0-9_-]{22}$")
    traceparent: str | None = Field(default=None, pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
    data: dict[str, Any]

    @model_validator(mode="after")
    def _numbered_if_in_stream(self) -> Event:
        numbered = self.sequence is not None and self.epoch is not None
        bare = self.sequence is None and self.epoch is None
        if self.type in STREAM_TYPES and not numbered:
            raise ValueError("a stream event carries sequence and epoch")
        if self.type not in STREAM_TYPES and not bare:
            raise ValueError("a control event carries neither sequence nor epoch")
        return self


def schema_of(event_type: str) -> str:
    """The `dataschema` of a type: the name under which its JSON Schema is published (`schemas/jsonschema/<type>.json`)."""
    return f"urn:panj:schema:{event_type}"


def new_id() -> str:
    """A fresh UUIDv7 (RFC 9562): ordered by time, so that indexes stay dense."""
    return str(uuid7())


def new_salt() -> str:
    """128 random bits, base64url without padding: 22 characters."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()


def new_epoch() -> str:
    """A random mark of one life of an outbox: 64 bits in hex."""
    return secrets.token_hex(8)


def event_bytes(attributes: dict[str, Any]) -> bytes:
    """Write an event in its one compact line of UTF-8 JSON: no spaces, no newline. These bytes are kept and never made again."""
    return strict_json.write(attributes)


def digest_of(raw: bytes) -> bytes:
    """SHA-256 of an event's exact bytes: 32 bytes."""
    return hashlib.sha256(raw).digest()


def utc_text(instant: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and `Z`: how instants are written in events."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
