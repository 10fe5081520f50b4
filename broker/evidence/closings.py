"""Whether a closing covers an event: both sides' statements fit together, and the event's line is in a block that both agreed to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from broker.evidence.findings import Finding, State
from broker.evidence.voices import CONTRADICTS, UNPROVEN, Meant, Voice
from broker.trust.signing import b64url, unb64url
from schemas.closing import Line, block_digest, block_with
from schemas.content import validate
from schemas.control import Manifest, ManifestAnswer, ManifestBlock
from schemas.errors import ContentError
from schemas.event import Event
from schemas.evidence import BlockLine
from schemas.names import EventType


def cover(event: Meant, manifest: Voice, answer: Voice, lines: Sequence[BlockLine]) -> Finding:
    """Say whether the closing covers this event, or the first thing that does not fit."""
    misfit = next(_misfits(event, manifest, answer, lines), None)
    if misfit is not None:
        return Finding(State.BROKEN, "closing", f"the closing does not cover this event: {misfit}", code=CONTRADICTS)
    assert answer.event is not None  # noqa: S101 - `_misfits` would have said so
    number, by = answer.event.data["number"], f"{event.source} and {event.destination}"
    if manifest.stands and answer.stands:
        at = answer.testimony.signed_at_utc if answer.testimony else None
        return Finding(State.PROVEN, "closing", f"closing {number}, signed by {by}, covers exactly this event", by=by, at_utc=at)
    text = f"closing {number}, in the names of {by}, would cover this event: that both signed it is not proven (see above)"
    return Finding(State.UNPROVEN, "closing", text, code=UNPROVEN)


def _misfits(event: Meant, manifest: Voice, answer: Voice, lines: Sequence[BlockLine]) -> Iterator[str]:
    """What does not fit, as it is come upon; each step rests on those before."""
    if manifest.event is None or answer.event is None:
        yield "a side's statement is no event"
        return
    yield from _wrong_route(event, manifest.event, answer.event)
    try:
        stated, said = validate(manifest.event.type, manifest.event.data), validate(answer.event.type, answer.event.data)
    except ContentError as error:
        yield str(error.problems[0])
        return
    if not isinstance(stated, Manifest) or not isinstance(said, ManifestAnswer):
        yield "it is not a manifest and its answer"
        return
    if said.manifest != b64url(manifest.digest) or said.number != stated.number:
        yield f"the answer ({said.number}) is to another manifest than this one ({stated.number})"
    if not said.agreed:
        yield f"{event.destination} did not agree to closing {said.number}"
    block = block_with(stated, event.type, event.epoch, event.sequence)
    if block is None:
        yield f"closing {said.number} does not compare sequence {event.sequence} of {event.type} {event.epoch}"
        return
    yield from _wrong_lines(event, block, lines)


def _wrong_route(event: Meant, manifest: Event, answer: Event) -> Iterator[str]:
    ours, theirs = (event.source, event.destination), (event.destination, event.source)
    if manifest.type != EventType.MANIFEST or (manifest.source, manifest.destination) != ours:
        yield f"the manifest is not {event.source}'s to {event.destination}"
    if answer.type != EventType.MANIFEST_ANSWER or (answer.source, answer.destination) != theirs:
        yield f"the answer is not {event.destination}'s to {event.source}"
    if {manifest.environment, answer.environment} != {event.environment}:
        yield "it is of another environment"


def _wrong_lines(event: Meant, block: ManifestBlock, lines: Sequence[BlockLine]) -> Iterator[str]:
    absent = {sequence for first, last in block.absent for sequence in range(first, last + 1)}
    expected = [sequence for sequence in range(block.first, block.last + 1) if sequence not in absent]
    if event.sequence in absent or [line.sequence for line in lines] != expected:
        yield f"the lines in the file are not those of sequences {block.first} to {block.last}"
        return
    read = [Line(line.sequence, line.id, unb64url(line.digest) or b"") for line in lines]
    if b64url(block_digest(read)) != block.digest:
        yield "the digest of the lines in the file is not that of the block"
    own = read[expected.index(event.sequence)]
    if (own.id, own.digest) != (event.id, event.digest):
        yield f"its line {own.sequence} is of another event, or of other bytes"
