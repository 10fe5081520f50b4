"""The lines of an archived block: what a post and a house keep of 1,000 events once their rows are gone. See docs/retention.md.

Each kind of line is known by names, and may rest on others by theirs: an event on its receipt, or on the signature of its bundle. Files
are written and read in `broker.archive` and `broker.archive_reading`; which rows become lines stands with the tables.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.closing import digest_text
from schemas.control import Digest, EventId, Sequence
from schemas.declarations import Administration, Part
from schemas.errors import Problem
from schemas.event import Urn, digest_of
from schemas.evidence import Jws, Moment, exact_bytes
from schemas.fates import Fate
from schemas.limits import CRL_BYTES, EVENT_BYTES

Raw = Annotated[bytes, exact_bytes(EVENT_BYTES)]


class BlockHead(Part):
    """The first line: which block it is, and the digest over its lines as a manifest states it."""

    panj: Literal["archived-block"]
    archived_at: Moment
    source: Urn
    destination: Urn
    type: str
    epoch: str
    first: Sequence
    last: Sequence
    digest: Digest


class BlockPart(Part):
    """Any other line."""

    @property
    def names(self) -> tuple[str, ...]:
        """By what others find it."""
        raise NotImplementedError

    @property
    def rests_on(self) -> tuple[str, ...]:
        """The names of what proves it."""
        return ()

    @property
    def fits(self) -> bool:
        """Whether its content is the one that it is named by."""
        return True


class EventLine(BlockPart):
    """An event: its exact bytes as text, and what became of it."""

    event: str = Field(description="the signed bytes; those of the withdrawal where that took the event's place; empty where we have none")
    sequence: Sequence
    id: EventId
    digest: Digest
    reference: str
    version: int | None = None
    problems: tuple[Problem, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Its id."""
        return (self.id,)


class SentEvent(EventLine):
    """At a post. `withdrawal`: its tombstone. `receipt`: the SHA-256 of the receipt that settled it."""

    accepted_at: Moment
    settled_at: Moment | None = None
    fate: Fate | None = None
    withdrawal: Raw | None = None
    receipt: Digest | None = None

    @property
    def rests_on(self) -> tuple[str, ...]:
        """Its receipt."""
        return () if self.receipt is None else (self.receipt,)


class ReceiptLine(BlockPart):
    """At a post: a house's receipt as it came, named by the SHA-256 of `raw`."""

    receipt: Digest
    house: Urn
    received_at: Moment | None = None
    jws: Jws
    raw: Raw

    @property
    def names(self) -> tuple[str, ...]:
        """Its digest."""
        return (self.receipt,)

    @property
    def fits(self) -> bool:
        """Whether it is its bytes' own digest."""
        return self.receipt == digest_text(digest_of(self.raw))


class TakenEvent(EventLine):
    """At a house. `bundle`: the SHA-256 of the signature that it came under. `reply_key`: under which reasons go back, if encrypted."""

    received_at: Moment
    decided_at: Moment
    fate: Fate
    bundle: Digest
    reply_key: Digest | None = None

    @property
    def rests_on(self) -> tuple[str, ...]:
        """Its signature."""
        return (self.bundle,)


class WithdrawalLine(BlockPart):
    """At a house: the tombstone for an event. `filled_place`: the event itself never came, and its line holds the tombstone's bytes."""

    withdrawal: EventId
    reason: str
    filled_place: bool = False
    raw: Raw
    bundle: Digest

    @property
    def names(self) -> tuple[str, ...]:
        """The withdrawn event's id."""
        return (self.withdrawal,)

    @property
    def rests_on(self) -> tuple[str, ...]:
        """Its signature."""
        return (self.bundle,)


class SignatureLine(BlockPart):
    """At a house: the signature over a bundle, named by its own SHA-256; when it came, and the CRLs that it was checked against."""

    bundle: Digest
    signatory: Urn
    received_at: Moment | None = None
    crls: tuple[Digest, ...] = ()
    jws: Jws

    @property
    def names(self) -> tuple[str, ...]:
        """Its digest."""
        return (self.bundle,)

    @property
    def rests_on(self) -> tuple[str, ...]:
        """Those CRLs."""
        return self.crls

    @property
    def fits(self) -> bool:
        """Whether it is the signature's own digest."""
        return self.bundle == digest_text(digest_of(self.jws.encode()))


class CrlLine(BlockPart):
    """At a house: a CRL that signatures were checked against, named by the SHA-256 of `der`."""

    crl: Digest
    country: Administration
    der: Annotated[bytes, exact_bytes(CRL_BYTES)]

    @property
    def names(self) -> tuple[str, ...]:
        """Its digest."""
        return (self.crl,)

    @property
    def fits(self) -> bool:
        """Whether it is its bytes' own digest."""
        return self.crl == digest_text(digest_of(self.der))


BlockLine = SentEvent | ReceiptLine | TakenEvent | WithdrawalLine | SignatureLine | CrlLine
