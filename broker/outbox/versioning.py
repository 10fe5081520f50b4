"""What is kept under a reference, and which version a draft without a number gets of it. Called within the transaction of acceptance.

No number is kept beside the rows: what was sent as a version is told by the digest of its content, made again for that version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from sqlalchemy import Connection, bindparam, select

from broker.outbox.tables import archived_event, outbox
from broker.outbox.values import Draft, UnnumberedDraft
from broker.statements import in_parts
from schemas.content import content_digest
from schemas.errors import ConflictError, ContentError
from schemas.limits import VERSIONS

Version = tuple[str, str, int]  # destination, type, version


@dataclass(slots=True)
class Kept:
    """An event that is kept under a version, with the digest of its content.

    Of one that was learned from the house it is that of the released content, empty where the house could not tell.
    """

    event_id: str
    epoch: str
    sequence: int
    content_digest: bytes
    withdrawn: bool = False
    learned: bool = False

    def is_of(self, draft: Draft) -> bool:
        """Whether the draft says the same."""
        return self.content_digest == (content_digest(draft.data) if self.learned else draft.content_digest)


KeptVersions = dict[Version, list[Kept]]


_KEPT = select(
    outbox.c.destination,
    outbox.c.type,
    outbox.c.reference,
    outbox.c.version,
    outbox.c.event_id,
    outbox.c.epoch,
    outbox.c.sequence,
    outbox.c.content_digest,
    outbox.c.withdrawal.is_not(None).label("withdrawn"),
    outbox.c.learned,
).where(outbox.c.reference.in_(bindparam("references", expanding=True)))


def look_up(connection: Connection, references: Sequence[str]) -> dict[str, KeptVersions]:
    """What is kept under each of these references; nothing at all under those that are not in it."""
    kept: dict[str, KeptVersions] = {}
    for some in in_parts(references):
        for row in connection.execute(_KEPT, {"references": some}):
            one = Kept(row.event_id, row.epoch, row.sequence, row.content_digest, bool(row.withdrawn), row.learned > 0)
            kept.setdefault(row.reference, {}).setdefault((row.destination, row.type, row.version), []).append(one)
    return kept


def archived_of(connection: Connection, references: Sequence[str]) -> set[str]:
    """Those of these references of which versions are in the archive only: what they said is not known here any more."""
    found: set[str] = set()
    for some in in_parts(references):
        query = select(archived_event.c.reference).where(archived_event.c.reference.in_(some)).distinct()
        found.update(connection.execute(query).scalars())
    return found


def types_of(connection: Connection, references: Sequence[str]) -> dict[str, set[str]]:
    """The types under which each of these references was sent; those that were not are not in it."""
    found: dict[str, set[str]] = {}
    for some in in_parts(references):
        for table in (outbox, archived_event):
            query = select(table.c.reference, table.c.type).where(table.c.reference.in_(some)).distinct()
            for reference, event_type in connection.execute(query):
                found.setdefault(reference, set()).add(event_type)
    return found


def numbered(draft: UnnumberedDraft, kept: Mapping[Version, Sequence[Kept]], *, archived: bool) -> Draft:
    """Give the draft its version: that of the newest one where it says the same, else the next, which corrects the newest.

    `kept` is what is kept under its reference, `archived` whether more of it is in the archive only. ConflictError
    `correction-unknown`, `correction-type`, `version-older` or `versions-forgotten` where that would be a guess, and as `draft.at`.
    """
    versions = sorted({version for (_, _, version), named in kept.items() if named}, reverse=True)
    if not versions:
        if archived:
            _refuse_forgotten(draft)
        if draft.correction:
            raise correction_unknown(draft.reference)
        return draft.at(1, None)
    newest = versions[0]
    _refuse_other_type(draft, kept, newest)
    for version, before in _with_those_before(versions):
        again = _sent_again(draft, kept, version, before)
        if isinstance(again, Draft):
            return again if version == newest else _refuse_older(draft, version, newest)
        archived = archived or again is None
    if archived:
        _refuse_forgotten(draft)
    if newest >= VERSIONS:
        raise ContentError("field-invalid", f"a declaration has {VERSIONS:,} versions at most", field="version", value=newest)
    return draft.at(newest + 1, newest)


def _with_those_before(versions: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """Each version, newest first, with the one that it corrects: before the lowest that is kept, perhaps archived, one less."""
    for version, before in zip(versions, [*versions[1:], versions[-1] - 1], strict=True):
        yield version, before or None


def _sent_again(
    draft: UnnumberedDraft, kept: Mapping[Version, Sequence[Kept]], version: int, corrects: int | None
) -> Draft | Literal[False] | None:
    """Give the draft as this version where it says what was sent as that, to any house; None where nothing is known of what that said."""
    if corrects is None and draft.correction:
        return False
    known = [
        one
        for (destination, event_type, other), named in kept.items()
        if other == version and event_type == draft.type
        for one in named
        # What a house told is of what was released to that house: it says nothing about another's.
        if one.content_digest and (not one.learned or destination == draft.destination.urn)
    ]
    if not known:
        return None
    try:
        tried = draft.at(version, corrects)
    except ContentError:  # nothing says why it corrects another: that is told where it would have to
        return False
    return tried if any(one.is_of(tried) for one in known) else False


def correction_unknown(reference: str) -> ConflictError:
    """Say that nothing of this reference was sent that could be corrected."""
    text = f"no version of {reference} was sent from this outbox: hand in the declaration itself first, or state the version"
    return ConflictError("correction-unknown", text, field="version", value=reference)


def _refuse_other_type(draft: UnnumberedDraft, kept: Mapping[Version, Sequence[Kept]], newest: int) -> None:
    types = sorted({event_type for (_, event_type, version), named in kept.items() if version == newest and named})
    if draft.type not in types:
        text = f"version {newest} of {draft.reference} was sent as {types[0]}, and a later version is of the same type"
        raise ConflictError("correction-type", text, field="type", value=draft.type)


def _refuse_older(draft: UnnumberedDraft, version: int, newest: int) -> NoReturn:
    text = f"this content was sent as version {version}, after which version {newest} was sent; state the version if it is to stand again"
    raise ConflictError("version-older", text, field="version", value=draft.reference)


def _refuse_forgotten(draft: UnnumberedDraft) -> NoReturn:
    text = (
        f"versions of {draft.reference} were sent whose content this outbox does not know any more (archived, or learned after a restore), "
        "so it cannot tell whether this is one of them: state the version ('panj trace' tells what was sent)"
    )
    raise ConflictError("versions-forgotten", text, field="version", value=draft.reference)
