"""Receipts: what the customs house answers to the posts, made afresh from fates each time. Sent on the lane of the post's country."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.bundle.pack import Route, control_event, pack
from broker.ports import Message
from broker.trust.keys import Identity
from broker.trust.sealing import seal_problems
from broker.trust.signing import b64url
from schemas.errors import Problem
from schemas.event import digest_of
from schemas.fates import Fate
from schemas.limits import PROBLEMS, RECEIPT_ANSWERS
from schemas.names import EventType, Party

PURPOSE = "exchange-control"
LEGAL_BASIS = "bilateral protocol on electronic exchange"
RECEIPT_CHARACTERS = 300_000  # well under EVENT_BYTES, whatever script the problems are written in


@dataclass(frozen=True, slots=True)
class Answered:
    """The fate of one event, to be told to the post that sent it; its problems under `reply_key` where the event came encrypted."""

    event_id: str
    source: str
    digest: bytes
    fate: Fate
    problems: tuple[Problem, ...] = ()
    reply_key: bytes | None = field(default=None, repr=False)


def receipts(
    answers: Iterable[Answered], house: Party, environment: str, identity: Identity, now_utc: datetime
) -> list[tuple[str, Message]]:
    """Make the receipts of these answers, each answer once; gives (lane, message), one message per post and up to 500 answers."""
    by_source: dict[str, dict[str, Answered]] = defaultdict(dict)
    for answer in answers:
        by_source[answer.source][answer.event_id] = answer
    made = []
    for source in sorted(by_source):
        post = Party.of_urn(source)
        for part in _parts(list(by_source[source].values())):
            raw = _receipt(part, house, post, environment, now_utc)
            message = pack(Route(house, post, EventType.RECEIPT.value), [raw], [digest_of(raw)], identity, now_utc)
            made.append((post.country, message))
    return made


def receipt_of(answer: Answered, house: Party, environment: str, now_utc: datetime) -> bytes:
    """Make a receipt of one answer: the event's exact bytes, not signed yet."""
    return _receipt([_told(answer)], house, Party.of_urn(answer.source), environment, now_utc)


def _receipt(part: Sequence[dict[str, Any]], house: Party, post: Party, environment: str, now_utc: datetime) -> bytes:
    return control_event(
        EventType.RECEIPT.value,
        house,
        post,
        environment=environment,
        purpose=PURPOSE,
        legal_basis=LEGAL_BASIS,
        subject=f"receipt of {len(part)} events",
        data={"answers": part},
        now=now_utc,
    )


def _parts(answers: Sequence[Answered]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    characters = 0
    for answer in answers:
        told = _told(answer)
        size = 120 + sum(len(str(problem)) + 60 for problem in told.get("problems", ())) + len(told.get("sealed", ""))
        if part and (len(part) == RECEIPT_ANSWERS or characters + size > RECEIPT_CHARACTERS):
            yield part
            part, characters = [], 0
        part.append(told)
        characters += size
    if part:
        yield part


def _told(answer: Answered) -> dict[str, Any]:
    """The answer as `schemas.control.Answer` has it, JSON-ready; built directly because there are hundreds in each receipt."""
    told: dict[str, Any] = {"id": answer.event_id, "digest": b64url(answer.digest), "fate": answer.fate.value}
    if answer.fate is Fate.LOADED:
        return told
    problems = answer.problems[:PROBLEMS]
    if answer.reply_key:
        told["sealed"] = seal_problems(problems, answer.reply_key)
    else:
        told["problems"] = [problem.model_dump(exclude_none=True) for problem in problems]
    return told
