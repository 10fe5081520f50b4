"""The values that go into the outbox and come out of it. No I/O, no decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from broker.clocks import Skew
from broker.outbox.closing_values import ManifestAnswered, ManifestSent, RunBegun, Wish
from schemas.control import RecoveryAnswer
from schemas.errors import Problem
from schemas.fates import Fate
from schemas.names import Party


@dataclass(frozen=True, slots=True)
class Draft:
    """What intake hands over to be accepted: validated, released fields only.

    `content_digest` (SHA-256, 32 bytes) tells the same content from another under the same reference and version; `data` is ready for
    JSON (strings, integers, booleans, lists, objects).
    """

    destination: Party
    type: str
    reference: str
    version: int
    content_digest: bytes
    data: Mapping[str, Any]
    purpose: str
    legal_basis: str


@dataclass(frozen=True, slots=True)
class UnnumberedDraft:
    """A draft whose version is the next one of its reference, which only the outbox knows: it gives the number as it accepts it.

    `at(version, corrects)` makes the draft of a version, with None for the first one, which corrects nothing; it raises ContentError
    where there cannot be that version. `correction`: never the first one.
    """

    destination: Party
    type: str
    reference: str
    correction: bool
    at: Callable[[int, int | None], Draft]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An event durably in the outbox. `duplicate`: it was there before, and this is its first acceptance again.

    `copies`: 2 where it is on a second disk as well, as far as this acceptance knows.
    """

    event_id: str
    destination: Party
    type: str
    epoch: str
    sequence: int
    reference: str
    version: int
    duplicate: bool
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Types:
    """Which types of events a question is about: all, all `without` some, or `only` one."""

    without: frozenset[str] = frozenset()
    only: str | None = None


ANY_TYPE = Types()


class OutboxRow(NamedTuple):
    """What is sent for an unsettled event, ready to be bundled: itself, or once it is withdrawn its tombstone, whose type `type` is then.

    `destination` is a URN, `size_bytes` the length of `raw`, `digest` SHA-256 over it.
    """

    position: int
    destination: str
    type: str
    size_bytes: int
    accepted_at_utc: datetime
    relays: int
    digest: bytes
    raw: bytes


class RelayedRow(NamedTuple):
    """An event relayed and not settled, without its bytes: what a decision about its resend needs."""

    position: int
    size_bytes: int
    relayed_at_utc: datetime
    relayed_mark: int
    relays: int
    answered_fate: str | None


@dataclass(frozen=True, slots=True)
class Relayed:
    """A bundle that the broker confirmed: the rows in it, and the last beacon mark sent before it left.

    `tombstones`: it held the rows' withdrawals, and not their events.
    """

    positions: tuple[int, ...]
    mark: int
    relayed_at_utc: datetime
    tombstones: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """One answer of a receipt: `house` (URN) says that the event with this id and digest (32 bytes) has this fate.

    `sealed`: the problems, encrypted under the event's own reply key.
    `receipt` is the digest of the receipt event that says so, where that is to be kept.
    """

    event_id: str
    digest: bytes
    house: str
    fate: Fate
    problems: tuple[Problem, ...] = ()
    sealed: str | None = None
    receipt: bytes | None = None


@dataclass(frozen=True, slots=True)
class ReceivedReceipt:
    """A receipt as it came: the event's exact bytes, their SHA-256, the signature of its bundle, and its instant by the house's clock."""

    digest: bytes
    house: str
    raw: bytes = field(repr=False)
    jws: str = field(repr=False)
    said_at_utc: datetime | None = None


@dataclass(frozen=True, slots=True)
class BeaconSent:
    """A beacon about to be published; recorded before it is, so that marks rise through every crash."""

    destination: str
    mark: int
    sent_at_utc: datetime


@dataclass(frozen=True, slots=True)
class BeaconReturned:
    """A beacon come home at `returned_at_utc` by our clock, having stood at the house at `house_at_utc` by its clock.

    `highest`: the highest sequence that the house held of `epoch` then; 0 for none, None where it does not say. `epochs`: those of ours
    that it knows.
    """

    destination: str
    mark: int
    house_at_utc: datetime | None
    returned_at_utc: datetime
    epoch: str | None = None
    highest: int | None = None
    epochs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParkedControl:
    """A control message that is not to be trusted or cannot be opened: SHA-256 of its body, its lane, and the code of the reason."""

    digest: bytes
    lane: str
    code: str


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Everything that happened since the relay's last turn; recorded in one transaction.

    `confirmed`: bundles that need not be recorded yet, and are with the answers to their events: a row that is answered soon after it left
    is written once. Alone they are nothing to record.
    """

    relayed: list[Relayed] = field(default_factory=list)
    confirmed: list[Relayed] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    receipts: list[ReceivedReceipt] = field(default_factory=list)
    sent: list[BeaconSent] = field(default_factory=list)
    returned: list[BeaconReturned] = field(default_factory=list)
    parked: list[ParkedControl] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    runs: list[RunBegun] = field(default_factory=list)
    manifests: list[ManifestSent] = field(default_factory=list)
    answers: list[ManifestAnswered] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self) if each.name != "confirmed")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a recording changed: positions finished or held by destination (URN), what did not count, and clocks measured anew.

    `highest`: the highest sequence answered just now, by destination and epoch. `waiting_again`: the lowest position that waits again for a
    destination because the house lacks it; `closed`: destinations whose manifests were answered.
    """

    settled: Mapping[str, list[int]]
    held: Mapping[str, list[int]]
    fates: Counter[Fate]
    repeated: int = 0
    mismatched: int = 0
    contradicted: int = 0
    skews: Mapping[str, Skew] = field(default_factory=dict)
    highest: Mapping[tuple[str, str], int] = field(default_factory=dict)
    waiting_again: Mapping[str, int] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BeaconState:
    """What is known of one destination's beacon; mark 0: none was sent or came back. `skew`: how the house's clock stands against ours.

    `highest`: the highest sequence of our epoch `highest_epoch` that the house said to hold, with the last beacon that came home.
    """

    destination: str
    sent_mark: int = 0
    sent_at_utc: datetime | None = None
    returned_mark: int = 0
    returned_at_utc: datetime | None = None
    skew: Skew | None = None
    skew_at_utc: datetime | None = None
    highest_epoch: str | None = None
    highest: int | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """How one destination stands. `accepted` = `waiting` + `in_flight` + `held` + `settled`; `refused` are among the settled.

    `withdrawing`: unsettled ones that were withdrawn, counted above too. `withdrawn_late`: loaded over there before their withdrawal
    came, and not corrected by a later version yet.
    """

    destination: str
    accepted: int
    waiting: int
    waiting_bytes: int
    in_flight: int
    held: int
    settled: int
    refused: int
    oldest_waiting_utc: datetime | None
    oldest_in_flight_utc: datetime | None
    receipts_mismatched: int
    receipts_contradicted: int
    withdrawing: int = 0
    withdrawn_late: int = 0


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What keeps the relay from sending to a destination (empty: at all): a code of the catalogue, in words, and since when."""

    destination: str
    code: str
    words: str
    since_utc: datetime


@dataclass(frozen=True, slots=True)
class EventFate:
    """What became of one event so far: `fate` final, `answered_fate` HELD while only that is known, both None before any receipt."""

    event_id: str
    fate: Fate | None
    answered_fate: Fate | None
    problems: tuple[Problem, ...]
    settled_at_utc: datetime | None
    relayed_at_utc: datetime | None = None

    @property
    def settled(self) -> bool:
        """Whether its outbox row is finished."""
        return self.settled_at_utc is not None


class KeptRow(NamedTuple):
    """An event with all that is kept to prove it: its exact bytes, its tombstone's where it was withdrawn, and the receipt that answered
    it, as it came (None: none yet).
    """

    event_id: str
    destination: str
    type: str
    epoch: str
    sequence: int
    reference: str
    version: int
    raw: bytes
    withdrawal: bytes | None
    received_at_utc: datetime | None
    receipt_jws: str | None
    receipt_raw: bytes | None


@dataclass(frozen=True, slots=True)
class WithdrawalWish:
    """What a person wants withdrawn, and why: the unsettled events of a reference; of one `version` and for one house where they say so."""

    reference: str
    reason: str
    version: int | None = None
    destination: str | None = None


class WithdrawalStep(Enum):
    """What a wish to withdraw does to one event."""

    WITHDRAWN = "withdrawn"
    AGAIN = "withdrawn before"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """One event that a wish to withdraw concerns, and what the wish does to it. `stood`: where it was before, in words."""

    event_id: str
    destination: str
    type: str
    reference: str
    version: int
    stood: str
    step: WithdrawalStep


@dataclass(frozen=True, slots=True)
class Life:
    """One life of the outbox: its epoch, whose it is, in which environment, and when it began.

    `suspected_because`: why it is known to have been set back; `recovering`: it was begun by a recovery that has not ended. Nothing is
    accepted while either is so.
    """

    epoch: str
    source: str
    environment: str
    begun_at_utc: datetime
    suspected_because: str | None = None
    recovering: bool = False


@dataclass(frozen=True, slots=True)
class HouseRecovery:
    """How far the recovery from one house (URN) is: events `told` and `remaining`, and, once it has told all, what came of them."""

    destination: str
    begun_at_utc: datetime
    told: int
    remaining: int | None
    answered_at_utc: datetime | None
    learned: int
    settled: int
    reissued: int


@dataclass(frozen=True, slots=True)
class RecoveryState:
    """How the outbox stands between being set back and accepting again: its current life, and each house that is asked."""

    life: Life
    houses: tuple[HouseRecovery, ...]

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """The houses (URN) that have not told everything yet."""
        return tuple(house.destination for house in self.houses if house.answered_at_utc is None)


@dataclass(frozen=True, slots=True)
class Told:
    """One page of what a house (URN) holds of ours, and its signed answer as it came: what it settles, that proves."""

    destination: str
    answer: RecoveryAnswer
    receipt: ReceivedReceipt
