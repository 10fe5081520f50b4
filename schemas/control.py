"""Control events: receipt, beacon, CRL, closing, recovery, withdrawal. Outside streams, never receipted, idempotent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from schemas.declarations import Administration, Part
from schemas.errors import Problem
from schemas.fates import Fate
from schemas.limits import (
    BEACON_EPOCHS,
    BLOCK_EVENTS,
    INTEGER,
    MANIFEST_ABSENT,
    MANIFEST_BLOCKS,
    MANIFEST_STREAMS,
    PROBLEMS,
    RECEIPT_ANSWERS,
    RECOVERY_ENTRIES,
    RECOVERY_STREAMS,
    VERSIONS,
)
from schemas.names import ID_PATTERN, STREAM_TYPES, EventType
from schemas.text import Text
from schemas.values import Instant, whole

EventId = Annotated[str, Field(pattern=ID_PATTERN)]
SealedProblems = Annotated[
    str, Field(min_length=20, max_length=40_000, pattern=r"^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")
]
SealedNames = Annotated[
    str, Field(min_length=20, max_length=700_000, pattern=r"^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")
]
SealedKey = Annotated[str, Field(min_length=20, max_length=2_000, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){4}$")]
Digest = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$", description="SHA-256, base64url without padding")]
CRL_CHARACTERS = 700_000
Epoch = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Sequence = Annotated[int, whole(1, INTEGER)]


def _in_stream(event_type: EventType) -> EventType:
    if event_type not in STREAM_TYPES:
        raise ValueError("not a type whose events are numbered in streams")
    return event_type


StreamTypeName = Annotated[EventType, AfterValidator(_in_stream)]


class Answer(Part):
    """The fate of one event; `digest` is that of the exact bytes that the house holds. HELD is interim, the others final.

    Of an event that came encrypted the problems go back as `sealed`: a JWE (`dir`, `A256GCM`) under the reply key in its plaintext.
    """

    id: EventId
    digest: Digest
    fate: Fate
    problems: tuple[Problem, ...] = Field(default=(), max_length=PROBLEMS)
    sealed: SealedProblems | None = None

    @model_validator(mode="after")
    def _only_what_is_told(self) -> Answer:
        if self.fate is Fate.PARKED:
            raise ValueError("what is parked is never answered")
        if (self.fate is Fate.LOADED) == bool(self.problems or self.sealed) or (self.problems and self.sealed):
            raise ValueError("a refusal or a hold gives its problems, openly or sealed, a load has none")
        return self


class Receipt(Part):
    """The customs house's answer to a post, for the events that it names."""

    answers: tuple[Answer, ...] = Field(min_length=1, max_length=RECEIPT_ANSWERS)


class Beacon(Part):
    """Goes the whole way through both brokers and both daemons and back: the house returns `mark` with its own clock's time.

    The post says its `epoch`; the house returns `highest`, the highest sequence that it holds of that epoch from this post (0: none). A
    post that never gave so high a number was restored from a backup; a house whose number is lower than one that it receipted was.
    `epochs`: those of this post that the house knows, the latest first; a post that does not know one of them was restored or replaced.
    """

    mark: Annotated[int, whole(1, INTEGER)]
    sent_at: Instant
    returned_at: Instant | None = None
    epoch: Epoch | None = None
    highest: Annotated[int, whole(0, INTEGER)] | None = None
    epochs: tuple[Epoch, ...] = Field(default=(), max_length=BEACON_EPOCHS)


class Crl(Part):
    """A certificate revocation list, DER in base64, of the authority of `country` (where absent: of the sender's own country)."""

    crl_number: int = Field(ge=0)
    der: str = Field(min_length=1, max_length=CRL_CHARACTERS, pattern=r"^[A-Za-z0-9+/]+={0,2}$")
    country: Administration | None = None


def _check_ranges(first: int, last: int, ranges: Iterable[tuple[int, int]]) -> None:
    """Ranges of sequences rise, have a gap between them, and lie within the block."""
    before = first - 1
    for start, end in ranges:
        if not before < start <= end <= last:
            raise ValueError("sequences are told as rising ranges within the block")
        before = end + 1


class ManifestBlock(Part):
    """Up to 1,000 consecutive sequences of one stream and the digest over their (sequence, id, digest) lines.

    `absent`: sequences of which the post itself knows no event, since a backup set it back. They have no line.
    """

    first: Annotated[int, whole(1, INTEGER)]
    last: Annotated[int, whole(1, INTEGER)]
    digest: Digest
    absent: tuple[tuple[Sequence, Sequence], ...] = Field(default=(), max_length=BLOCK_EVENTS)

    @model_validator(mode="after")
    def _one_block(self) -> ManifestBlock:
        if self.first % BLOCK_EVENTS != 1 or not self.first <= self.last < self.first + BLOCK_EVENTS:
            raise ValueError(f"a block begins at 1, {BLOCK_EVENTS + 1}, … and holds 1 to {BLOCK_EVENTS} consecutive sequences")
        _check_ranges(self.first, self.last, self.absent)
        return self


class ManifestStream(Part):
    """What a manifest says of one stream: the house has answered sequences 1 to `last`, and these of their blocks are compared.

    Blocks begin at 1, 1001, 2001, …, follow each other, and end at `last`; none: nothing of the stream is compared this time.
    """

    type: StreamTypeName
    epoch: Epoch
    last: Annotated[int, whole(0, INTEGER)]
    blocks: tuple[ManifestBlock, ...] = Field(max_length=MANIFEST_BLOCKS)

    @model_validator(mode="after")
    def _whole(self) -> ManifestStream:
        ends = [*(block.first - 1 for block in self.blocks[1:]), self.last]
        for block, end in zip(self.blocks, ends, strict=False):
            if block.last != end:
                raise ValueError("blocks follow each other, and the last one ends where the stream's `last` says")
        return self


class Manifest(Part):
    """A post's signed statement of its streams to one house: a closing, once the house has agreed to exactly these bytes.

    `number` counts the closings of this post with this house from 1; `previous` is the digest of the house's answer that agreed to
    the closing before, so that the two sides' signatures form one chain; `audit_head` is the head of the post's audit trail.
    """

    number: Annotated[int, whole(1, INTEGER)]
    previous: Digest | None = None
    closed_at: Instant
    streams: tuple[ManifestStream, ...] = Field(max_length=MANIFEST_STREAMS)
    audit_head: Digest | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Manifest:
        if sum(len(stream.blocks) for stream in self.streams) > MANIFEST_BLOCKS:
            raise ValueError(f"a manifest compares at most {MANIFEST_BLOCKS} blocks")
        if sum(len(block.absent) for stream in self.streams for block in stream.blocks) > MANIFEST_ABSENT:
            raise ValueError(f"a manifest names at most {MANIFEST_ABSENT} ranges that the post does not know")
        if len({(stream.type, stream.epoch) for stream in self.streams}) < len(self.streams):
            raise ValueError("a manifest names a stream once")
        return self


class ManifestLine(Part):
    """One event as the house holds it."""

    sequence: Annotated[int, whole(1, INTEGER)]
    id: EventId
    digest: Digest


class ManifestDifference(Part):
    """A block that differs: ranges of sequences that the house lacks, or, where it lacks none, its own lines of the block.

    `archived`: the house has pruned the block and can say no more than that it was another one.
    """

    type: StreamTypeName
    epoch: Epoch
    first: Annotated[int, whole(1, INTEGER)]
    last: Annotated[int, whole(1, INTEGER)]
    missing: tuple[tuple[Sequence, Sequence], ...] = Field(default=(), max_length=BLOCK_EVENTS)
    held: tuple[ManifestLine, ...] = Field(default=(), max_length=BLOCK_EVENTS)
    archived: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> ManifestDifference:
        if bool(self.missing) + bool(self.held) + self.archived != 1:
            raise ValueError("a block lacks sequences, or has other lines, or is archived")
        _check_ranges(self.first, self.last, self.missing)
        return self


class ManifestAnswer(Part):
    """The house's answer to the manifest with this digest. `agreed` makes the two one closing, signed by both sides.

    `backup_horizon_seconds`: how far back the house may be set by restoring a backup; the sender keeps what is younger.
    `last_number` and `last_digest` (of the answer that agreed to it) are the last closing that the house knew before, so that a gap in
    either chain is seen: a manifest whose number is not higher is not compared, and the post goes on after them. `untold`: blocks that
    differ and have no room in this answer.
    """

    number: Annotated[int, whole(1, INTEGER)]
    manifest: Digest
    agreed: bool
    differences: tuple[ManifestDifference, ...] = Field(default=(), max_length=MANIFEST_BLOCKS)
    backup_horizon_seconds: Annotated[int, whole(0, INTEGER)]
    untold: Annotated[int, whole(0, INTEGER)] = 0
    last_number: Annotated[int, whole(0, INTEGER)] = 0
    last_digest: Digest | None = None
    audit_head: Digest | None = None

    @property
    def overtaken(self) -> bool:
        """Whether the house has closings with that number or higher: the post's own chain was set back."""
        return self.number <= self.last_number

    @model_validator(mode="after")
    def _says_one_thing(self) -> ManifestAnswer:
        if self.agreed + bool(self.differences) + self.overtaken != 1:
            raise ValueError("an answer agrees, or names the blocks that differ, or names the later closing that the house knows")
        if (self.last_digest is None) != (self.last_number == 0):
            raise ValueError("the last closing is named by number and digest")
        return self


class ManifestRequest(Part):
    """The house asks a post for a manifest now; `everything`: of all blocks that the post still keeps."""

    reason: Annotated[Text, Field(max_length=200)]
    everything: bool = False


class StreamHead(Part):
    """How far one stream was told: everything up to `last`."""

    type: StreamTypeName
    epoch: Epoch
    last: Annotated[int, whole(0, INTEGER)]


class Recovery(Part):
    """A post whose outbox was restored or replaced asks what the house holds of it beyond `known`; of a stream not named there, all.

    It asks page by page: the next one's `known` is the last answer's `told`. `reply`, where the post has its data encrypted to this house:
    a JWE to the house's encryption certificate over 32 random bytes, under which the names of encrypted events come back.
    """

    known: tuple[StreamHead, ...] = Field(max_length=RECOVERY_STREAMS)
    reply: SealedKey | None = None


class Recovered(Answer):
    """One event that the house holds of the asking post: its place, its name, and its fate as a receipt tells it.

    `content` is the SHA-256 over its data in canonical JSON (`schemas.content`); `version` and `content` where they could be read. Of an
    event that came encrypted, `reference` is its id, and what it is about stands in the answer's `names`.
    """

    type: StreamTypeName
    epoch: Epoch
    sequence: Annotated[int, whole(1, INTEGER)]
    reference: Annotated[Text, Field(min_length=1, max_length=200)]
    version: Annotated[int, whole(1, VERSIONS)] | None = None
    content: Digest | None = None


class RecoveredName(Part):
    """What a recovered event that came encrypted is about: told under encryption only."""

    id: EventId
    reference: Annotated[Text, Field(min_length=1, max_length=200)]
    version: Annotated[int, whole(1, VERSIONS)] | None = None
    content: Digest | None = None
    problems: tuple[Problem, ...] = Field(default=(), max_length=PROBLEMS)


class RecoveryAnswer(Part):
    """One page of what the house holds beyond what the post asked from; `request` is the id of the recovery that it answers.

    `told`: how far each stream of the post is told now, all streams that the house knows of it; `left`: how many events still are to be
    told. `names`: a JWE (`dir`, `A256GCM`) under the recovery's reply key, over the JSON list of the `RecoveredName`s of those entries
    that came encrypted.
    """

    request: EventId
    entries: tuple[Recovered, ...] = Field(default=(), max_length=RECOVERY_ENTRIES)
    told: tuple[StreamHead, ...] = Field(default=(), max_length=RECOVERY_STREAMS)
    left: Annotated[int, whole(0, INTEGER)]
    names: SealedNames | None = None


class Withdrawal(Part):
    """A post's signed tombstone for one of its own events that is not settled: the house fills its place with it, as REFUSED."""

    id: Annotated[EventId, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
    digest: Digest
    type: StreamTypeName
    epoch: Epoch
    sequence: Annotated[int, whole(1, INTEGER)]
    reference: Annotated[Text, Field(min_length=1, max_length=200)]
    version: Annotated[int, whole(1, VERSIONS)]
    reason: Annotated[Text, Field(min_length=1, max_length=300)]
