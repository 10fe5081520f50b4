"""What each package adds to `panj status` and `panj trace`, as values found through entry points; printing stands in `status` and `trace`.

A package contributes a function `observe(settings) -> Iterable[Reading]` under the entry-point group "panj.status", and
`trace(settings, reference) -> Iterable[Step]` under "panj.trace".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from sqlalchemy.engine import make_url

from broker.settings.model import Settings
from schemas.errors import PanjError


class Attention(IntEnum):
    """How much a reading needs a person: the higher, the sooner."""

    FINE = 0
    WATCH = 1
    ACT = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """One line of `panj status`: of what (`subject`), which figure (`name`), its value with unit, and what to do about it."""

    subject: str
    name: str
    value: str | int | float | None
    unit: str = ""
    attention: Attention = Attention.FINE
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a declaration's life on this side; `version` is the declaration's."""

    at_utc: datetime
    where: str
    what: str
    reference: str
    version: int
    event_id: str
    detail: str = ""


def readings(settings: Settings) -> list[Reading]:
    """Ask every contributor; what needs attention first. One that fails is itself a reading that needs a person."""
    found: list[Reading] = []
    for point in _contributors("panj.status"):
        observe: Callable[[Settings], Iterable[Reading]] = point.load()
        try:
            found.extend(observe(settings))
        except PanjError as error:
            found.append(Reading(point.name, "unreadable", error.code, attention=Attention.ACT, advice=str(error)))
    return sorted(found, key=lambda reading: (-reading.attention, reading.subject, reading.name))


def steps(settings: Settings, reference: str) -> list[Step]:
    """Ask every contributor for a declaration's steps, oldest first."""
    found: list[Step] = []
    for point in _contributors("panj.trace"):
        trace: Callable[[Settings, str], Iterable[Step]] = point.load()
        found.extend(trace(settings, reference))
    return sorted(found, key=lambda step: (step.at_utc, step.version, step.event_id))


def database_exists(url: str) -> bool:
    """Whether a database is there to be read: a post of this administration may run on another machine, and asking must not make a file."""
    parsed = make_url(url)
    return parsed.get_backend_name() != "sqlite" or (parsed.database is not None and Path(parsed.database).exists())


def _contributors(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=group), key=lambda point: point.name)
