"""Data that only one customs house may read: what stands in `data` of a sealed event, and what its plaintext holds.

Encrypting and decrypting stand in `broker.trust.sealing`. A sealed event's `dataschema` is `SEALED_SCHEMA` and its `subject` its own id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, ValidationError

from schemas import strict_json
from schemas.content import problems_of
from schemas.control import Digest
from schemas.declarations import Part
from schemas.errors import ContentError
from schemas.limits import EVENT_BYTES

SEALED_SCHEMA = "urn:panj:schema:customs.sealed-data.v1"
REPLY_KEY_BYTES = 32

CompactJwe = Annotated[str, Field(min_length=20, max_length=EVENT_BYTES, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){4}$")]


class SealedData(Part):
    """A declaration under encryption.

    `jwe` is a JWE in compact form (RFC 7516) to the receiving house's encryption certificate, over the gzipped plaintext; `digest` is
    the SHA-256 over the event's `salt` and the plaintext, so that what was decrypted is proven by the event's signature.
    """

    jwe: CompactJwe
    digest: Digest


@dataclass(frozen=True, slots=True)
class Plaintext:
    """What is encrypted: the event's data, and 32 random bytes under which the house encrypts its reasons; they keep `digest` silent."""

    data: dict[str, Any] = field(repr=False)
    reply_key: bytes = field(repr=False)


def plaintext_digest(salt: str, plaintext: bytes) -> bytes:
    """SHA-256 over the event's `salt` (its 22 characters) and the plaintext: 32 bytes."""
    return hashlib.sha256(salt.encode() + plaintext).digest()


def write_plaintext(data: dict[str, Any], reply_key_text: str) -> bytes:
    """The plaintext's bytes: one JSON object with `data` and `reply` (base64url)."""
    return strict_json.write({"data": data, "reply": reply_key_text})


def read_sealed(data: dict[str, Any]) -> SealedData:
    """The form of a sealed event's `data`; ContentError otherwise."""
    try:
        return SealedData.model_validate(data)
    except ValidationError as error:
        raise ContentError.of(problems_of(error)) from None


def read_plaintext(plaintext: bytes) -> tuple[dict[str, Any], str]:
    """`data` and the text of `reply`, by the rules of strict JSON; ContentError `sealed-broken` for anything else."""
    found = strict_json.parse(plaintext)
    data, reply = found.get("data"), found.get("reply")
    if found.keys() != {"data", "reply"} or not isinstance(data, dict) or not isinstance(reply, str):
        raise ContentError("sealed-broken", "the plaintext holds data and reply, no more and no less")
    return data, reply
