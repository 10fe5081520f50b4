"""Sending named files once: reading and accepting them, and what has become of each so far. Printing stands in `commands`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.outbox.values import EventFate
from broker.settings.model import Settings
from producers.formats.reading import LocatedProblem, Part, ReadDeclaration, Unread, located_in
from producers.formats.registry import Reader
from producers.intake import BATCH, Accepted, Outcome, Rejected, prepare, routes_of
from producers.sources.files import FileInHand, FoundFile, Mark
from producers.versions import unnumbered_of
from schemas.errors import ContentError
from schemas.fates import Fate


@dataclass(frozen=True, slots=True)
class Sent:
    """One declaration on its way to one destination, or one that was rejected here (`problems`, no `event_id`).

    `destination` is a URN; `line` says where it stands in a file of several. A dry run has destinations and no event, and no version
    where intake gives it.
    """

    file: str
    line: int | None
    reference: str | None = None
    version: int | None = None
    destination: str | None = None
    event_id: str | None = None
    sequence: int | None = None
    duplicate: bool = False
    copies: int | None = None
    problems: tuple[LocatedProblem, ...] = ()


def parts_of_files(paths: Iterable[Path], reader: Reader) -> Iterator[tuple[str, Part]]:
    """Read files one after another; what cannot be read at all comes as one `Unread` of that file."""
    for path in paths:
        try:
            # Whoever names a file on the command line means what it leads to: here, and only here, links are followed.
            real = path.resolve()
            status = real.stat()
            for part in FileInHand(FoundFile(real, Mark.of(status), stat.S_ISREG(status.st_mode)), reader).parts():
                yield str(path), part
        except (OSError, RuntimeError) as error:  # resolve() calls a loop of links a RuntimeError
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            yield str(path), Unread.of(ContentError("file-unreadable", f"the file cannot be read: {reason}").problems)


def send_files(parts: Iterable[tuple[str, Part]], accept: Callable[[Sequence[ReadDeclaration]], list[Outcome]]) -> list[Sent]:
    """Accept declarations in batches, each durably before the next; UnavailableError leaves those before it accepted."""
    sent: list[Sent] = []
    batch: list[tuple[str, ReadDeclaration]] = []
    for file, part in parts:
        if isinstance(part, Unread):
            sent.append(Sent(file, part.line, problems=part.problems))
            continue
        batch.append((file, part))
        if len(batch) == BATCH:
            sent += _accepted(batch, accept)
            batch = []
    return sent + _accepted(batch, accept)


def check_files(parts: Iterable[tuple[str, Part]], settings: Settings) -> list[Sent]:
    """Tell what sending would do, without an outbox: which houses each declaration would go to, or what is wrong with it."""
    routes = routes_of(settings)
    sent: list[Sent] = []
    for file, part in parts:
        if isinstance(part, Unread):
            sent.append(Sent(file, part.line, problems=part.problems))
            continue
        try:
            if not part.type_told:  # the outbox knows of which type, and so which houses, what it corrects is
                sent.append(Sent(file, part.line, unnumbered_of(part)[1].reference))
                continue
            one = prepare(part, settings.country, routes)
        except ContentError as error:
            sent.append(Sent(file, part.line, problems=located_in(part, error.problems)))
            continue
        sent += [Sent(file, part.line, one.reference, one.version, draft.destination.urn) for draft in one.drafts]
    return sent


def _accepted(batch: Sequence[tuple[str, ReadDeclaration]], accept: Callable[[Sequence[ReadDeclaration]], list[Outcome]]) -> list[Sent]:
    sent: list[Sent] = []
    for (file, read), outcome in zip(batch, accept([read for _, read in batch]), strict=True):
        if isinstance(outcome, Rejected):
            sent.append(Sent(file, read.line, outcome.reference, problems=located_in(read, outcome.problems)))
            continue
        sent += _events_of(file, read, outcome)
    return sent


def _events_of(file: str, read: ReadDeclaration, outcome: Accepted) -> list[Sent]:
    return [
        Sent(
            file,
            read.line,
            each.reference,
            each.version,
            each.destination.urn,
            each.event_id,
            each.sequence,
            each.duplicate,
            each.copies,
        )
        for each in outcome.acceptances
    ]


def exit_code(sent: Sequence[Sent], fates: Mapping[str, EventFate], *, answers_needed: bool) -> int:
    """0 all is well, 1 something was rejected here or refused there, 3 something was not finally answered in time."""
    answers = [fates[one.event_id].fate if one.event_id in fates else None for one in sent if one.event_id]
    if any(one.problems for one in sent) or Fate.REFUSED in answers:
        return 1
    return 3 if answers_needed and any(answer is not Fate.LOADED for answer in answers) else 0
