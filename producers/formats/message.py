"""A document of a known kind, from its element to a declaration: structure checked, mapping run, what is kept beside counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as Names
from dataclasses import dataclass, field

from lxml import etree

from producers.formats import rules
from producers.formats.filling import Filled, Target, gather
from producers.formats.leaves import leaves_of
from producers.formats.mapping import Mapping
from producers.formats.reading import Conventions, Part, Place, ReadDeclaration, Unread
from producers.formats.structure import Element, check
from producers.formats.xml import local


@dataclass(frozen=True, slots=True)
class Message:
    """A kind of document. `finish` sets right what no single row can, and gives the type of the declaration or event.

    `structure`: its outline, where it has one, and the namespaces of its elements (`structure.check`).
    """

    mapping: Mapping
    finish: Callable[[Filled, Conventions], str]
    structure: Element | None = None
    namespaces: Names[str, str] = field(default_factory=dict)


def read_message(element: etree._Element, message: Message, conventions: Conventions, name: str) -> Part:
    """Read one document; `name` is its format's, under which `extensions` keeps what no field says."""
    line = int(element.sourceline) if element.sourceline else None
    if message.structure is not None:
        faults = check(element, message.structure, message.namespaces)
        if faults:
            return Unread(faults, line)
    said, root = leaves_of(element, message.mapping, {})
    filled = message.mapping.fill(said, root, conventions)
    event_type = message.finish(filled, conventions)
    if filled.problems:
        return Unread(tuple(filled.problems), line)
    gather(root)
    kept = dict(_kept(root, filled))
    if kept:
        count = len(kept)
        text = f"{count:,} texts that no field says are kept under extensions.{name}"
        filled.warn("values-kept", text, place=Place(local(element.tag), line))
        root.data["extensions"] = {name: kept}
    return ReadDeclaration(event_type, root.data, line, root.places().of, filled.warnings)


def _kept(target: Target, filled: Filled) -> Iterator[tuple[str, str]]:
    """Each text that no field says, by its path in the document."""
    for leaf in target.kept:
        yield rules.safe(leaf.path or "")[-200:], filled.text_kept(leaf)
    for child in target.children:
        yield from _kept(child, filled)


def name_source(filled: Filled, conventions: Conventions) -> None:
    """Say whose declaration it is and at which office, as the source's settings tell it, where the document itself does not."""
    for name, value in (("administration", conventions.administration), ("office_code", conventions.office)):
        if value is not None:
            filled.root.data.setdefault(name, value)
