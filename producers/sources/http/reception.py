"""Taking in what was handed in by HTTP: from a whole body to an answer. Knows no sockets and no server; used by several threads."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from broker.outbox.store import Outbox
from producers.formats.reading import LocatedProblem, ReadDeclaration, Unread, located_in
from producers.formats.registry import Reader, format_named
from producers.intake import BATCH, Accepted, Intake
from producers.sources.documents import read_document
from producers.sources.http.answers import (
    Answer,
    DeclarationSaid,
    declaration_said,
    fates_said,
    not_taken,
    refused,
    taken,
    taken_again,
    unavailable,
)
from schemas.errors import ConflictError, ContentError, SettingsError, UnavailableError, UsageError
from schemas.names import is_event_id

log = structlog.get_logger()

_VENDOR = "application/vnd.panj."


@dataclass(frozen=True, slots=True)
class Submission:
    """What somebody handed in: who, the whole body, what it says to be, and the key under which it may come again."""

    client: str
    body: bytes
    content_type: str = ""
    key: str | None = None


class Reception:
    """Takes submissions into one post's outbox. `on_accepted` is called after each batch that brought something new."""

    def __init__(self, intake: Intake, outbox: Outbox, reader: Reader, on_accepted: Callable[[], None]) -> None:
        self._intake = intake
        self._outbox = outbox
        self._reader = reader
        self._on_accepted = on_accepted
        self._accepting = threading.Lock()
        self._keys = threading.Lock()
        self._in_hand: set[bytes] = set()

    def take(self, submission: Submission) -> Answer:
        """Take it in and tell how that went. An answer of 202 is given when all of it is on disk."""
        try:
            answer = self._take(submission) if submission.key is None else self._take_once(submission, submission.key)
        except UnavailableError as error:
            log.warning("submission.postponed", client=submission.client, code=error.code, reason=str(error))
            return unavailable(error)
        log.info("submission.answered", client=submission.client, status=answer.status, bytes=len(submission.body))
        return answer

    def fates(self, event_id: str) -> Answer:
        """Tell what became of the declaration that this event is of."""
        try:
            found = self._outbox.standings_of(event_id) if is_event_id(event_id) else []
        except UnavailableError as error:
            return unavailable(error)
        if not found:
            text = "no event of this id is in the outbox: what was settled long ago is in the archive (docs/retention.md)"
            return refused(404, UsageError("event-unknown", text, value=event_id).problems[0])
        return fates_said(found)

    def is_well(self) -> bool:
        """Whether the outbox answers."""
        try:
            self._outbox.accepted()
        except UnavailableError:
            return False
        return True

    def _take_once(self, submission: Submission, key: str) -> Answer:
        """Take it in under its key: the same again gets the same answer, another body under the key is refused."""
        digest = hashlib.sha256(f"{submission.client}\n{key}".encode()).digest()
        with self._held(digest) as ours:
            if not ours:
                text = "a request with this key is being answered at this moment: wait for its answer, or send it again a little later"
                return refused(409, ConflictError("idempotency-key-in-use", text, value=key).problems[0], {"Retry-After": "1"})
            claim = self._outbox.requests.claim(digest, hashlib.sha256(submission.body).digest())
            if not claim.same:
                text = "this key came before with another body: a new request needs a new key"
                return refused(422, ConflictError("idempotency-key-reused", text, value=key).problems[0])
            if claim.answer is not None:
                return taken_again(claim.answer)
            answer = self._take(submission)
            if answer.status == 202:  # of what was refused nothing is kept: once its cause is mended it may be taken
                self._outbox.requests.keep_answer(digest, dict(answer.document))
            return answer

    @contextmanager
    def _held(self, digest: bytes) -> Iterator[bool]:
        with self._keys:
            ours = digest not in self._in_hand
            self._in_hand.add(digest)
        try:
            yield ours
        finally:
            if ours:
                with self._keys:
                    self._in_hand.discard(digest)

    def _take(self, submission: Submission) -> Answer:
        batch: list[ReadDeclaration] = []
        said: list[DeclarationSaid] = []
        problems: list[LocatedProblem] = []
        try:
            for part in read_document(submission.body, self._reader_for(submission.content_type), source="http"):
                if isinstance(part, Unread):
                    problems += part.problems
                    continue
                batch.append(part)
                if len(batch) == BATCH:
                    self._accept(batch, said, problems)
                    batch = []
        except ContentError as error:  # nobody reads it
            return refused(415, error.problems[0])
        self._accept(batch, said, problems)
        if problems:
            return not_taken(problems, said)
        if not said:
            return refused(422, ContentError("file-empty", "it holds no declaration").problems[0])
        return taken(said)

    def _reader_for(self, content_type: str) -> Reader:
        """Read by content, or by the format that `application/vnd.panj.<its name>` names. What else is said is not believed."""
        said = content_type.partition(";")[0].strip().lower()
        if not said.startswith(_VENDOR):
            return self._reader
        try:
            return replace(self._reader, forced=format_named(said.removeprefix(_VENDOR), self._reader.formats))
        except SettingsError as error:
            raise ContentError("format-unknown", error.problems[0].text, field="Content-Type", value=said) from None

    def _accept(self, batch: Sequence[ReadDeclaration], said: list[DeclarationSaid], problems: list[LocatedProblem]) -> None:
        if not batch:
            return
        with self._accepting:
            outcomes = self._intake.accept(batch)
        for read, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Accepted):
                said.append(declaration_said(outcome, read.line))
            else:
                problems += located_in(read, outcome.problems)
        if any(isinstance(outcome, Accepted) and not outcome.duplicate for outcome in outcomes):
            self._on_accepted()
