"""What stands in the folder for one loaded version: a SAD, a note, or nothing, and under which name. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from broker.settings.followers import AsycudaFiles
from consumers.loaders.following.values import Outcome, Todo
from schemas.declarations import Declaration, ExportDeclaration
from schemas.sad import Kind, Prefill, Spelling, prefilled_import, write, write_draft


@dataclass(frozen=True, slots=True)
class Document:
    """What is to be written (None: nothing), as which file, and what that makes of the event."""

    outcome: Outcome
    name: str | None = None
    content: bytes | None = None


def document_of(todo: Todo, settings: AsycudaFiles) -> Document:
    """Decide what becomes of a loaded version: as the settings say of amendments and cancellations; a superseded one is left out."""
    if todo.superseded:
        return Document(Outcome.SUPERSEDED)
    declaration: Declaration = todo.event.data
    name = file_name(declaration.reference, declaration.version)
    wanted = settings.cancellations if todo.cancels else "write" if declaration.version == 1 else settings.amendments
    if wanted == "skip":
        return Document(Outcome.SKIPPED)
    if wanted == "note":
        return Document(Outcome.NOTED, f"{name}.txt", _note(declaration, cancels=todo.cancels))
    return Document(Outcome.WRITTEN, f"{name}.xml", sad_of(declaration, settings))


def sad_of(declaration: Declaration, settings: AsycudaFiles) -> bytes:
    """Give the SAD of a declaration: an export as the pre-filled import that it becomes on this side, unless the settings say otherwise."""
    codes = {str(name): table for name, table in settings.codes.items()}
    spelling = Spelling(settings.date_order, codes)
    if settings.exports != "import" or not isinstance(declaration, ExportDeclaration):
        return write(declaration, spelling)
    left_at = declaration.exit_office or declaration.office_code
    office = settings.offices.get(left_at, settings.office or "")
    prefill = Prefill(
        office_code=office,
        declaration_type=settings.declaration_type,
        procedure_code=settings.procedure_code,
        national_procedure=settings.national_procedure,
    )
    return write_draft(Kind.IMPORT, prefilled_import(declaration, prefill), spelling)


def file_name(reference: str, version: int) -> str:
    """A name for a version: `TJ+PNJ01+2026+000417+v1`, without its ending. Different for each, also where case makes no difference.

    Only letters, digits and `+ . _ -` stand in it, whatever the reference: they are safe on every file system.
    """
    name = f"{reference.replace('/', '+')}+v{version}"
    if not set(name) <= _SAFE or len(name) > _NAME_CHARACTERS or reference != reference.upper():
        kept = "".join(character if character in _SAFE else "_" for character in name[:_NAME_CHARACTERS])
        name = f"{kept}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return name


_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+._-")
_NAME_CHARACTERS = 120


def _note(declaration: Declaration, *, cancels: bool) -> bytes:
    lines = [
        f"{declaration.reference} version {declaration.version}",
        f"{'cancels' if cancels else 'corrects'} version {declaration.corrects}: {declaration.correction_reason}",
    ]
    return ("\r\n".join(lines) + "\r\n").encode()
