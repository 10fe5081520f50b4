"""Intake: a declaration as it was read becomes drafts for the houses that it is released to, and those go durably into the outbox.

`prepare` decides and is pure; `Intake.accept` acts, one outbox transaction per batch. Where declarations come from stands in `sources`,
what happens to an accepted one in `broker.relay`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import structlog

from broker.outbox.store import Outbox
from broker.outbox.values import Acceptance, Draft, UnnumberedDraft
from broker.outbox.versioning import correction_unknown
from broker.settings.model import Release, Settings
from producers.formats.reading import ReadDeclaration
from producers.release import check_releases, released
from producers.versions import reference_of, unnumbered_of
from schemas.content import canonical_bytes, content_digest, validate
from schemas.crossing import CrossingEvent
from schemas.declarations import Declaration, MessageFunction
from schemas.drafts import missing, never_exchanged, unnumbered
from schemas.errors import ConflictError, ContentError, Problem
from schemas.limits import EVENT_BYTES
from schemas.names import Party, house_of

BATCH = 500  # declarations of one outbox transaction: past 100, a row costs the same (DESIGN.md 8)
_ENVELOPE_BYTES = 2_000  # what an event adds around its data, generously

_DRAFT = re.compile(r"drafts\.([0-9]+)(?:\.(.+))?\Z", re.DOTALL)

Routes = Mapping[str, tuple[tuple[Party, Release], ...]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A declaration ready for the outbox: its own name and version, and a draft for each house that it is released to.

    `version` is None where the outbox gives it.
    """

    reference: str
    version: int | None
    drafts: tuple[Draft | UnnumberedDraft, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """Durably in the outbox, once for each destination. `duplicate`: all of it was accepted before, as these same events."""

    reference: str
    version: int
    acceptances: tuple[Acceptance, ...]

    @property
    def duplicate(self) -> bool:
        """Whether nothing new came of it."""
        return all(acceptance.duplicate for acceptance in self.acceptances)

    @property
    def copies(self) -> int:
        """In how many copies all of it is."""
        return min(acceptance.copies for acceptance in self.acceptances)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not taken, and why; `reference` where the declaration could be read as far as its name."""

    problems: tuple[Problem, ...]
    reference: str | None = None


Outcome = Accepted | Rejected


def routes_of(settings: Settings) -> Routes:
    """Tell for each type which houses it is released to; SettingsError where a release does not hang together."""
    check_releases(settings)
    routes: dict[str, tuple[tuple[Party, Release], ...]] = {}
    for country in settings.lanes:
        for release in settings.releases_to(country):
            routes[release.type] = (*routes.get(release.type, ()), (house_of(country), release))
    return routes


def prepare(read: ReadDeclaration, country: str, routes: Routes) -> Prepared:
    """Validate a declaration and cut it down to what each destination may see; ContentError with all that is wrong with it."""
    if unnumbered(read.data):
        return _prepare_unnumbered(read, country, routes)
    if lacking := missing(read.type, read.data):
        raise never_exchanged(lacking)
    value = validate(read.type, read.data)
    _check_leaves(value, read.type, country, routes)
    data = value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, Declaration):  # told even where they are the first version's: a reader need not know our defaults
        data |= {"version": value.version, "message_function": value.message_function.value}
    content = canonical_bytes(data)  # so that the same file twice is one event
    digest = hashlib.sha256(content).digest()
    drafts = tuple(
        Draft(house, read.type, value.reference, value.version, digest, released(data, release), release.purpose, release.legal_basis)
        for house, release in routes[read.type]
    )
    if len(content) + _ENVELOPE_BYTES > EVENT_BYTES:
        _check_size(drafts)
    return Prepared(value.reference, value.version, drafts)


def _check_leaves(value: Declaration | CrossingEvent, event_type: str, country: str, routes: Routes) -> None:
    if value.administration != country:
        text = f"this post sends the declarations of its own administration, {country!r}, only"
        raise ContentError("administration-foreign", text, field="administration", value=value.administration)
    if event_type not in routes:
        text = "exchange.toml releases this type to nobody: add a release for it, or do not send it"
        raise ContentError("release-none", text, field="type", value=event_type)


def _prepare_unnumbered(read: ReadDeclaration, country: str, routes: Routes) -> Prepared:
    """Leave the version to the outbox: it asks for the draft of each version that it may be."""
    value, declaration = unnumbered_of(read)
    _check_leaves(value, read.type, country, routes)

    @lru_cache(maxsize=2)  # each destination's draft is of the same content
    def content(version: int, corrects: int | None) -> tuple[dict[str, Any], bytes]:
        data = declaration.at(version, corrects)
        return data, content_digest(data)

    def draft(house: Party, release: Release, version: int, corrects: int | None) -> Draft:
        data, digest = content(version, corrects)
        kept = released(data, release)
        return Draft(house, read.type, declaration.reference, version, digest, kept, release.purpose, release.legal_basis)

    correction = declaration.function is not MessageFunction.ORIGINAL
    drafts = tuple(
        UnnumberedDraft(house, read.type, declaration.reference, correction, partial(draft, house, release))
        for house, release in routes[read.type]
    )
    if len(canonical_bytes(declaration.data)) + _ENVELOPE_BYTES > EVENT_BYTES:
        _check_size([draft.at(*((2, 1) if correction else (1, None))) for draft in drafts])
    return Prepared(declaration.reference, None, drafts)


def _check_size(drafts: Sequence[Draft]) -> None:
    size = max(len(canonical_bytes(draft.data)) for draft in drafts) + _ENVELOPE_BYTES
    if size > EVENT_BYTES:
        raise ContentError("declaration-too-large", f"an event is at most {EVENT_BYTES:,} bytes, this one would be about {size:,}")


class Intake:
    """Takes declarations of one post into its outbox. Used by one thread at a time."""

    def __init__(self, settings: Settings, party: Party, outbox: Outbox) -> None:
        self.party = party
        self._country = settings.country
        self._routes = routes_of(settings)
        self._outbox = outbox

    def accept(self, reads: Sequence[ReadDeclaration]) -> list[Outcome]:
        """Take up to `BATCH` declarations in one transaction; what is returned as `Accepted` is on disk.

        The outcomes stand in the order of `reads`; one that is wrong never costs another. UnavailableError where the outbox is away:
        then nothing was taken, and giving the same again later is harmless.
        """
        outcomes: list[Prepared | Outcome] = [self._prepare(read) for read in self._typed(reads)]
        prepared = [outcome for outcome in outcomes if isinstance(outcome, Prepared)]
        kept = iter(self._keep(prepared))
        return [next(kept) if isinstance(outcome, Prepared) else outcome for outcome in outcomes]

    def _typed(self, reads: Sequence[ReadDeclaration]) -> Sequence[ReadDeclaration | Rejected]:
        """Give corrections that do not say what they correct its type: as it was sent before, or comes before them in the same batch."""
        untold = {reference for read in reads if not read.type_told and (reference := reference_of(read.data))}
        if not untold:
            return reads
        types = self._outbox.types_of(sorted(untold))
        typed: list[ReadDeclaration | Rejected] = []
        for read in reads:
            reference = reference_of(read.data)
            if reference in untold and read.type_told:
                types.setdefault(reference, set()).add(read.type)
            typed.append(read if read.type_told or reference is None else _typed(read, reference, types.get(reference, set())))
        return typed

    def _prepare(self, read: ReadDeclaration | Rejected) -> Prepared | Rejected:
        if isinstance(read, Rejected):
            return read
        try:
            return prepare(read, self._country, self._routes)
        except ContentError as error:
            return Rejected(error.problems)

    def _keep(self, prepared: Sequence[Prepared]) -> list[Outcome]:
        """Keep them in one transaction; those that the outbox refuses are left out, and the others tried again without them."""
        outcomes: dict[int, Outcome] = {}
        left = list(range(len(prepared)))
        while left:
            owners = [index for index in left for _ in prepared[index].drafts]
            try:
                acceptances = iter(self._outbox.accept([draft for index in left for draft in prepared[index].drafts]))
            except (ConflictError, ContentError) as error:
                for index, problems in _problems_by_owner(error, owners).items():
                    outcomes[index] = _refused(prepared[index], problems)
                left = [index for index in left if index not in outcomes]
                continue
            for index in left:
                one = prepared[index]
                of_one = tuple(next(acceptances) for _ in one.drafts)
                outcomes[index] = Accepted(one.reference, of_one[0].version, of_one)
            break
        return [outcomes[index] for index in range(len(prepared))]


def _typed(read: ReadDeclaration, reference: str, types: Collection[str]) -> ReadDeclaration | Rejected:
    if len(types) == 1:
        return replace(read, type=next(iter(types)), type_told=True)
    if types:
        text = f"{reference} was sent as {' and as '.join(sorted(types))}, and the document does not say which of them it corrects"
        return Rejected(ConflictError("correction-type", text, field="type", value=reference).problems, reference)
    return Rejected(correction_unknown(reference).problems, reference)


def _problems_by_owner(error: ConflictError | ContentError, owners: Sequence[int]) -> dict[int, list[Problem]]:
    """Sort the outbox's problems, whose field names a draft (`drafts.3`, `drafts.3.data`), by the declaration that the draft is of."""
    found: dict[int, list[Problem]] = {}
    for problem in error.problems:
        match = _DRAFT.match(problem.field or "")
        if match is None:
            raise error
        found.setdefault(owners[int(match.group(1))], []).append(problem.model_copy(update={"field": match.group(2)}))
    return found


def _refused(one: Prepared, problems: Sequence[Problem]) -> Rejected:
    log.warning("declaration.rejected", reference=one.reference, version=one.version, codes=sorted({problem.code for problem in problems}))
    if one.version is not None and any(problem.code == "version-conflict" for problem in problems):
        text = f"{one.reference} version {one.version} was accepted before with another content: give the corrected one the next version"
        return Rejected(ConflictError("version-conflict", text, field="version", value=one.version).problems, one.reference)
    return Rejected(tuple(dict.fromkeys(problems)), one.reference)  # once, to however many houses it was to go
