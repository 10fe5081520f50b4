"""What the HTTP intake says: its answers as models, which the OpenAPI document is made of, and how each refusal is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from broker.outbox.stages import Stage, Standing
from producers.formats.reading import LocatedProblem
from producers.intake import Accepted
from producers.reasons import told
from schemas.errors import Problem, UnavailableError
from schemas.event import utc_text

DECLARATIONS = "/v1/declarations"
PROBLEMS_TOLD = 100  # of one body
# What the outbox says while it has no room for more now. Everything else that is unavailable is away.
_PRESSED = {"outbox-disk-low": 60, "outbox-unsettled": 30, "outbox-full": 60, "outbox-busy": 2}
_AWAY_SECONDS = 10
_CONFLICTS = frozenset(
    {"version-conflict", "version-withdrawn", "version-older", "versions-forgotten", "correction-unknown", "correction-type"}
)


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ProblemSaid(_Said):
    """One fault, where it stands, and what to do."""

    code: str = Field(description="a code of docs/errors.md; it keeps its meaning for ever")
    text: str
    what_to_do: str
    field: str | None = Field(default=None, description="a dotted path into the declaration")
    path: str | None = Field(default=None, description="the place in the document that was handed in")
    line: int | None = Field(default=None, description="the line of the document, from 1")
    value: str | None = Field(default=None, description="the value, cut short")
    who_must_act: str | None = None


class EventSaid(_Said):
    """A declaration on its way to one destination."""

    event_id: str
    destination: str = Field(description="the URN of the customs house")
    type: str
    sequence: int = Field(ge=1)
    duplicate: bool = Field(description="whether it had been accepted before")
    copies: int = Field(ge=1, description="2 where it is on a second disk as well")


class DeclarationSaid(_Said):
    """A declaration that is durably in the outbox."""

    reference: str
    version: int = Field(ge=0)
    line: int | None
    duplicate: bool
    fates: str = Field(description="where to ask for its fates")
    events: list[EventSaid]


class Taken(_Said):
    """All that was handed in is durably in the outbox."""

    declarations: list[DeclarationSaid]


class NotTaken(_Said):
    """Something was not taken, and why. What was good in the same body was taken all the same, and stands in `declarations`."""

    problems: list[ProblemSaid] = Field(min_length=1, description=f"the first {PROBLEMS_TOLD} at most")
    problem_count: int = Field(ge=1)
    declarations: list[DeclarationSaid] = []


class FateSaid(_Said):
    """How a declaration stands at one destination."""

    event_id: str
    destination: str
    fate: Stage
    accepted_at: str
    relayed_at: str | None
    settled_at: str | None = Field(description="when the house's final answer came")
    withdrawing: bool = Field(description="it was taken back here, and the house has not answered yet")
    problems: list[ProblemSaid]


class Fates(_Said):
    """What became of a declaration so far."""

    reference: str
    version: int
    type: str
    events: list[FateSaid]


class Health(_Said):
    """Whether declarations can be taken at the moment."""

    status: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, its document, and headers beside the usual ones."""

    status: int
    document: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def taken(declarations: Sequence[DeclarationSaid]) -> Answer:
    """202: all of it is on disk. `Location` leads to the first declaration's fates; each names its own place."""
    document = Taken(declarations=list(declarations)).model_dump(mode="json")
    return taken_again(document)


def taken_again(document: Mapping[str, Any]) -> Answer:
    """The same answer to the same request."""
    return Answer(202, document, {"Location": document["declarations"][0]["fates"]})


def not_taken(problems: Sequence[LocatedProblem], declarations: Sequence[DeclarationSaid]) -> Answer:
    """409 where all that is wrong contradicts what was accepted before, 422 otherwise."""
    status = 409 if all(each.problem.code in _CONFLICTS for each in problems) else 422
    said = NotTaken(
        problems=[ProblemSaid.model_validate(told(each)) for each in problems[:PROBLEMS_TOLD]],
        problem_count=len(problems),
        declarations=list(declarations),
    )
    return Answer(status, said.model_dump(mode="json"))


def refused(status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> Answer:
    """One problem, with the status that tells what kind it is of."""
    said = NotTaken(problems=[ProblemSaid.model_validate(told(LocatedProblem(problem)))], problem_count=1)
    return Answer(status, said.model_dump(mode="json"), headers or {})


def unavailable(error: UnavailableError) -> Answer:
    """429 while the outbox has no room for more, 503 while it is away or may not accept; both say when to try again."""
    pressed = _PRESSED.get(error.code)
    status, seconds = (503, _AWAY_SECONDS) if pressed is None else (429, pressed)
    return refused(status, error.problems[0], {"Retry-After": str(seconds)})


def declaration_said(accepted: Accepted, line: int | None) -> DeclarationSaid:
    """Tell an accepted declaration, with an event for each destination."""
    events = [
        EventSaid(
            event_id=each.event_id,
            destination=each.destination.urn,
            type=each.type,
            sequence=each.sequence,
            duplicate=each.duplicate,
            copies=each.copies,
        )
        for each in accepted.acceptances
    ]
    return DeclarationSaid(
        reference=accepted.reference,
        version=accepted.version,
        line=line,
        duplicate=accepted.duplicate,
        fates=f"{DECLARATIONS}/{events[0].event_id}",
        events=events,
    )


def fates_said(standings: Sequence[Standing]) -> Answer:
    """200: what became of one version of a declaration, at each destination."""
    first = standings[0]
    said = Fates(reference=first.reference, version=first.version, type=first.type, events=[_fate_said(each) for each in standings])
    return Answer(200, said.model_dump(mode="json"))


def _fate_said(standing: Standing) -> FateSaid:
    return FateSaid(
        event_id=standing.event_id,
        destination=standing.destination,
        fate=standing.stage,
        accepted_at=utc_text(standing.accepted_at_utc),
        relayed_at=None if standing.relayed_at_utc is None else utc_text(standing.relayed_at_utc),
        settled_at=None if standing.settled_at_utc is None else utc_text(standing.settled_at_utc),
        withdrawing=standing.withdrawing,
        problems=[ProblemSaid.model_validate(told(LocatedProblem(problem))) for problem in standing.problems],
    )
