"""Control events: receipt, beacon, CRL, manifest and its answer. Outside streams, never receipted, idempotent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from schemas.declarations import Part
from schemas.errors import Problem
from schemas.event import Urn
from schemas.fates import Fate
from schemas.limits import INTEGER, PROBLEMS, RECEIPT_ANSWERS
from schemas.values import Instant, whole

EventId = Annotated[str, Field(min_length=36, max_length=36)]
Digest = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$", description="SHA-256, base64url without padding")]


class Answer(Part):
    """The fate of one event; `digest` is that of the exact bytes that the house holds. HELD is interim, the others final."""

    id: EventId
    digest: Digest
    fate: Fate
    problems: tuple[Problem, ...] = Field(default=(), max_length=PROBLEMS)

    @model_validator(mode="after")
    def _only_what_is_told(self) -> Answer:
        if self.fate is Fate.PARKED:
            raise ValueError("what is parked is never answered")
        if (self.fate is Fate.LOADED) == bool(self.problems):
            raise ValueError("a refusal or a hold gives its problems, a load has none")
        return self


class Receipt(Part):
    """The customs house's answer to a post, for the events that it names."""

    answers: tuple[Answer, ...] = Field(min_length=1, max_length=RECEIPT_ANSWERS)


class Beacon(Part):
    """Goes the whole way through both brokers and both daemons and back: the house returns `mark` with its own clock's time."""

    mark: Annotated[int, whole(1, INTEGER)]
    sent_at: Instant
    returned_at: Instant | None = None


class Crl(Part):
    """A certificate revocation list of the sender's own authority, DER in base64."""

    crl_number: int = Field(ge=0)
    der: str = Field(min_length=1, max_length=700_000, pattern=r"^[A-Za-z0-9+/]+={0,2}$")


class ManifestBlock(Part):
    """Up to 1,000 consecutive sequences of one stream and the digest over their (sequence, id, digest) lines."""

    first: Annotated[int, whole(1, INTEGER)]
    last: Annotated[int, whole(1, INTEGER)]
    digest: Digest


class Manifest(Part):
    """A sender's signed statement of blocks of one stream, for the closing."""

    stream_destination: Urn
    stream_type: str
    stream_epoch: str
    blocks: tuple[ManifestBlock, ...] = Field(max_length=1_000)


class ManifestAnswer(Part):
    """What the receiver lacks of the blocks of a manifest: ranges of sequences, first and last."""

    stream_source: Urn
    stream_type: str
    stream_epoch: str
    missing: tuple[tuple[int, int], ...] = Field(max_length=10_000)
