"""At which stage of its life each event of a declaration stands, in the words of the post's own national system. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, select

from broker.outbox.learning import WITHDRAWN
from broker.outbox.tables import outbox, reissued
from schemas.errors import Problem
from schemas.fates import Fate

_BECAME = 10  # recoveries through which an event is followed


class Stage(StrEnum):
    """The stages in their order; the last three are final, and an event comes to one of them only."""

    ACCEPTED = "accepted"
    RELAYED = "relayed"
    HELD = "held"
    LOADED = "loaded"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Standing:
    """One event of a declaration, and how it stands. `withdrawing`: it was taken back here, and the house has not answered yet."""

    event_id: str
    destination: str
    type: str
    reference: str
    version: int
    stage: Stage
    accepted_at_utc: datetime
    relayed_at_utc: datetime | None
    settled_at_utc: datetime | None
    withdrawing: bool
    problems: tuple[Problem, ...]


def stage_of(row: Any) -> Stage:
    """The stage of a row, read from its columns by name. What was taken back too late is loaded, or refused for its content."""
    if row.fate == Fate.LOADED:
        return Stage.LOADED
    if row.fate is not None:
        withdrawn = any(problem["code"] == WITHDRAWN for problem in row.problems or ())
        return Stage.WITHDRAWN if withdrawn else Stage.REFUSED
    if row.answered_fate is not None:
        return Stage.HELD
    return Stage.ACCEPTED if row.relayed_at_utc is None else Stage.RELAYED


# How far an event has come at each stage: it never goes back, and the last three are one end.
REACHED = {Stage.ACCEPTED: 1, Stage.RELAYED: 2, Stage.HELD: 3, Stage.LOADED: 4, Stage.REFUSED: 4, Stage.WITHDRAWN: 4}
LAST = 4


def passed(row: Any, told: int) -> list[tuple[Stage, datetime]]:
    """The stages that an event has come through since `told` (see `REACHED`; 0: none was told), in their order, and when.

    Read from a row of the outbox beside the instant of the receipt that answered it. When a HELD came is known only while it is the last
    word; afterwards it is dated by what followed. No stage is dated before the one that it follows, whatever the clock did.
    """
    steps = [(Stage.ACCEPTED, row.accepted_at_utc)]
    if row.relayed_at_utc is not None:
        steps.append((Stage.RELAYED, row.relayed_at_utc))
    if row.answered_fate is not None:
        held_at = row.settled_at_utc or row.received_at_utc or row.relayed_at_utc or row.accepted_at_utc
        steps.append((Stage.HELD, held_at))
    if row.settled_at_utc is not None:
        steps.append((stage_of(row), row.settled_at_utc))
    dated = zip((stage for stage, _ in steps), accumulate((at for _, at in steps), max), strict=True)
    return [(stage, at) for stage, at in dated if REACHED[stage] > told]


COLUMNS = tuple(
    outbox.c[name]
    for name in (
        "position",
        "event_id",
        "destination",
        "type",
        "reference",
        "version",
        "accepted_at_utc",
        "relayed_at_utc",
        "answered_fate",
        "settled_at_utc",
        "fate",
        "problems",
        "withdrawn_at_utc",
    )
)


def standings(connection: Connection, event_id: str) -> list[Standing]:
    """How each event of the version stands that this event is of; none where the outbox does not hold it.

    An event that a recovery sent again under another id is followed.
    """
    row = connection.execute(select(*COLUMNS).where(outbox.c.event_id == event_id)).first()
    for _ in range(_BECAME):
        if row is not None:
            break
        event_id = connection.execute(select(reissued.c.became).where(reissued.c.event_id == event_id)).scalar() or ""
        row = connection.execute(select(*COLUMNS).where(outbox.c.event_id == event_id)).first()
    if row is None:
        return []
    same = (outbox.c.reference == row.reference, outbox.c.version == row.version, outbox.c.type == row.type)
    return [_standing(each) for each in connection.execute(select(*COLUMNS).where(*same).order_by(outbox.c.position))]


def _standing(row: Any) -> Standing:
    return Standing(
        row.event_id,
        row.destination,
        row.type,
        row.reference,
        row.version,
        stage_of(row),
        row.accepted_at_utc,
        row.relayed_at_utc,
        row.settled_at_utc,
        row.withdrawn_at_utc is not None and row.settled_at_utc is None,
        tuple(Problem.model_validate(problem) for problem in row.problems or ()),
    )
