"""Groups of like failures: which of the held and parked fail for one and the same cause, as far as it can be told. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from consumers.review.values import Kind

NAME_CHARACTERS = 10
SHAPE_CHARACTERS = 160

# What differs between events that fail alike: the value in brackets, quoted words, ids, digests, instants, numbers.
_VALUE = re.compile(r" \(got .*\)(?= \[|$)", re.DOTALL)
_CODE = re.compile(r" \[[a-z0-9-]+\]$")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAMED = re.compile(r"urn:customs:[a-z0-9:-]+|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-fA-F]{16,}\b")
_NUMBER = re.compile(r"(?<![A-Za-z\d])\d+(?:[.,:]\d+)*(?![A-Za-z\d])")  # `x5c` and `v2` are names


@dataclass(frozen=True, slots=True)
class Failure:
    """One held event or parked row, or several that say the very same.

    `place`: the queue of the consumer that holds it, or lane and queue of what is parked.
    """

    kind: Kind
    place: str
    code: str
    problem: str
    exception: str | None
    first_utc: datetime
    last_utc: datetime
    count: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """Like failures. `name` is made from what they have in common: the same today and tomorrow, here and in the other office."""

    name: str
    kind: Kind
    place: str
    code: str
    shape: str
    count: int
    first_utc: datetime
    last_utc: datetime
    example: str


def shape_of(problem: str) -> str:
    """What problems have in common that differ in their values only: `items.#.hs_code: not in the list`."""
    shape = _CODE.sub("", _VALUE.sub("", problem))
    for what, sign in ((_QUOTED, "…"), (_NAMED, "…"), (_NUMBER, "#")):
        shape = what.sub(sign, shape)
    return " ".join(shape.split())[:SHAPE_CHARACTERS]


def name_of(failure: Failure) -> str:
    """The name of the group that a failure belongs to."""
    return _name(_alike(failure))


def group_failures(failures: Iterable[Failure]) -> list[Group]:
    """Put like failures together: every one in exactly one group, the largest group first."""
    found: dict[tuple[str, ...], list[Failure]] = {}
    for failure in failures:
        found.setdefault(_alike(failure), []).append(failure)
    groups = [_group(alike, members) for alike, members in found.items()]
    return sorted(groups, key=lambda group: (-group.count, group.name))


def _alike(failure: Failure) -> tuple[str, ...]:
    # An exception says more than the text that is told to the sender, which is the same for all of its kind.
    return (failure.kind.value, failure.place, failure.code, failure.exception or shape_of(failure.problem))


def _name(alike: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(alike, ensure_ascii=False).encode()).hexdigest()[:NAME_CHARACTERS]


def _group(alike: tuple[str, ...], members: list[Failure]) -> Group:
    kind, place, code, shape = alike
    return Group(
        name=_name(alike),
        kind=Kind(kind),
        place=place,
        code=code,
        shape=shape,
        count=sum(member.count for member in members),
        first_utc=min(member.first_utc for member in members),
        last_utc=max(member.last_utc for member in members),
        example=min(member.problem for member in members),
    )
