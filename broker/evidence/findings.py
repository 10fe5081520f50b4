"""What is found in an evidence file: one finding a line, each with how far it goes. How it is found stands in `verify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class State(StrEnum):
    """How far a finding goes."""

    PROVEN = "proven"
    UNPROVEN = "not proven"  # the file claims it, and what is at hand does not show it
    BROKEN = "does not hold"
    ABSENT = "not claimed"  # the file has nothing about it


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `what` is it about (`signature`, `receipt`, …), who says it (`by`, URN) and when by its own clock, in words in `text`.

    `code` is that of the catalogue where something does not hold; `event_id` None is about the file as a whole.
    """

    state: State
    what: str
    text: str
    event_id: str | None = None
    by: str | None = None
    at_utc: datetime | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Which event a group of findings is about, as its sender says; `digest` is the SHA-256 of its exact bytes, base64url."""

    event_id: str
    digest: str
    type: str
    reference: str
    version: int | None
    source: str
    destination: str
    environment: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that was found in a file, and about which events."""

    exporter: str
    subjects: tuple[Subject, ...]
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether all that the file claims is proven."""
        return all_hold(self.findings)


def all_hold(findings: Sequence[Finding]) -> bool:
    """Whether none of these is unproven or broken."""
    return not any(finding.state in (State.UNPROVEN, State.BROKEN) for finding in findings)


def told(instant: datetime) -> str:
    """An instant as findings tell it: UTC, to the second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
