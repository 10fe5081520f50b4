"""XML documents, read by a declared mapping. Entities, DTDs and the network are off; memory is bounded by one document, not by the file.

lxml on libxml2 (https://lxml.de/FAQ.html#how-do-i-use-lxml-safely-as-a-web-service-endpoint); elements are known by their local names.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

from lxml import etree

from producers.formats.mapping import Leaf, Mapping, Step, Target
from producers.formats.reading import Place, Unread
from schemas.errors import ContentError

DOCUMENT_BYTES = 64 * 1024 * 1024  # one declaration of 999 items with all its blank boxes is about 10 MB
DOCUMENT_DEPTH = 40
WHOLE_BYTES = 4 * 1024 * 1024  # a shorter file is parsed at once

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NOT_ELEMENTS = re.compile(r"<!--.*?(-->|\Z)|<\?.*?(\?>|\Z)", re.DOTALL)
_BEFORE = re.compile(r"\s*(?:<!--.*?-->|<\?.*?\?>)", re.DOTALL)
_SHOWN = 4096  # characters from the first element on that are looked at
_START = re.compile(r"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")


def elements_in(head: bytes) -> list[str]:
    """The local names of the elements that a file begins with; none where it is not XML."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            text = head[len(bom) :].decode(encoding, "ignore")
            break
    else:
        text = head.decode("utf-8", "ignore")
    while found := _BEFORE.match(text):  # remarks before the first element, however long
        text = text[found.end() :]
    text = _NOT_ELEMENTS.sub("", text[:_SHOWN]).lstrip()
    return _START.findall(text) if text.startswith("<") else []


def documents(stream: BinaryIO, names: Collection[str]) -> Iterator[etree._Element | Unread]:
    """Give each element of these local names, whole, in the file's order, wherever it stands; it is emptied when the next is asked for.

    What is no XML, has a DTD, or is too large ends it with an `Unread`; a document that was whole before it is good.
    """
    head = stream.read(WHOLE_BYTES)
    if len(head) < WHOLE_BYTES and (root := _whole(head)) is not None and local(root.tag) in names:
        yield _unfit(root) or root
        return
    yield from _one_by_one(_Counted(head, stream), names)


_OPTIONS: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}


def _whole(raw: bytes) -> etree._Element | None:
    """Parse a short file at once, which costs half of what parsing piece by piece does; nothing where it is not well-formed."""
    try:
        return etree.fromstring(raw, etree.XMLParser(**_OPTIONS))
    except etree.XMLSyntaxError:
        return None


def _one_by_one(counted: _Counted, names: Collection[str]) -> Iterator[etree._Element | Unread]:
    # Other elements are no events: a call for each of them costs more than its parsing.
    found = etree.iterparse(counted, events=("start", "end"), tag=[f"{{*}}{name}" for name in names], **_OPTIONS)
    within = None
    try:
        for event, element in found:
            if event == "start":
                if element.getroottree().docinfo.doctype:
                    yield _unfit(element) or element
                    return
                within = element if within is None else within
            elif element is within:
                yield _unfit(element) or element
                within = None
                _forget(element)
                counted.passed = 0
    except etree.XMLSyntaxError as error:
        if "depth" in (error.msg or ""):  # libxml2's own limit is 256
            yield _deep(error.lineno)
        else:
            yield _unread("xml-malformed", f"not well-formed XML: {error.msg}", error.lineno)
    except ContentError as error:
        yield Unread.of(error.problems)


def _unfit(element: etree._Element) -> Unread | None:
    """What forbids to read a document that is well-formed."""
    if element.getroottree().docinfo.doctype:
        return _unread("xml-doctype", "a document with a DTD is not read: no national system needs one", 1)
    found = _BELOW(element)
    return _deep(found[0].sourceline) if isinstance(found, list) and found else None


_BELOW = etree.XPath("/".join("*" * DOCUMENT_DEPTH))


def _deep(line: int | None) -> Unread:
    return _unread("xml-deep", f"elements nested deeper than {DOCUMENT_DEPTH}", line)


@dataclass(frozen=True, slots=True)
class Names:
    """How a mapping names elements: its spelling of what systems spell in several ways, and which of them are numbered.

    Without `numbered` those are that repeat in the document; with it these are, even where there is one.
    """

    spelled: Callable[[str], str] = str
    numbered: frozenset[str] | None = None
    known: dict[str, str] = field(default_factory=dict, compare=False, repr=False)  # by tag

    def of(self, tag: str) -> str:
        """The name of an element with this tag."""
        name = self.known.get(tag)
        if name is None:
            name = self.spelled(local(tag))
            if len(self.known) < _KNOWN:
                self.known[tag] = name
        return name


_KNOWN = 10_000  # tags that are remembered: a file may hold any number of them


def leaves_of(element: etree._Element, mapping: Mapping, data: dict[str, Any], names: Names = Names()) -> tuple[list[Leaf], Target]:
    """Gather every text of a document that a row takes, and the target that they fill; what no row takes is kept there at once."""
    root = Target(data, Place(None, element.sourceline))
    walk = _Walk(names, {element: _Part("", mapping.root, root, None)})
    attributed = set(_ATTRIBUTED(element))
    for each in element.iter():
        if attributed and each in attributed:
            walk.take_attributes(each)
        text = each.text
        if text and not text.isspace() and not len(each):  # most elements of most forms are blank: this line is their whole cost
            walk.take(each, text)
    return walk.leaves, root


_NOTHING = Step()
_ATTRIBUTED = etree.XPath("descendant-or-self::*/@*/..")
_LOCAL: dict[str, str] = {}


def local(tag: Any) -> str:
    """An element's name without its namespace."""
    name = _LOCAL.get(tag)
    if name is None:
        name = str(tag).rpartition("}")[2]
        if len(_LOCAL) < _KNOWN:
            _LOCAL[tag] = name
    return name


class _Part(NamedTuple):
    """An element with parts: its path, its step, what it fills, and what tells it apart; `plain`: its parts are known by name alone."""

    path: str
    step: Step
    target: Target
    told_by: str | None
    plain: bool = False


class _Walk:
    """The way through a document, only to where a text stands."""

    def __init__(self, names: Names, parts: dict[etree._Element, _Part | None]) -> None:
        self.leaves: list[Leaf] = []
        self._names = names
        self._parts = parts
        self._places: dict[tuple[etree._Element, str], dict[etree._Element, int]] = {}

    def take(self, element: etree._Element, text: str) -> None:
        """Take the text of an element without parts."""
        part = self._parts.get(element)  # where it has attributes, or is the whole document
        if part is None:
            parent = element.getparent()
            above = self._parts.get(parent) or self._part(parent)
            if above is None:
                return
            if above.plain and self._take_plain(element, text, above):
                return
            part = self._below(element, above)
        if part is not None:
            path, step, target = part[:3]
            (self.leaves if step.rows else target.kept).append(Leaf(path, element.sourceline, text, step.rows, target))

    def _take_plain(self, element: etree._Element, text: str, above: _Part) -> bool:
        """Take a text beneath an element where a name is all that there is to know; most are such."""
        names = self._names
        name = names.known.get(element.tag) or names.of(element.tag)
        step = above.step.below.get(name, _NOTHING)
        if step.opens is not None or name in (names.numbered or ()):
            return False
        leaf = Leaf(f"{above.path}/{name}", element.sourceline, text, step.rows, above.target)
        (self.leaves if step.rows else above.target.kept).append(leaf)
        return True

    def take_attributes(self, element: etree._Element) -> None:
        """Take the attributes of an element that say something."""
        part = self._part(element)
        for attribute, value in element.attrib.items() if part else ():
            if part and value.strip() and not str(attribute).startswith("{") and f"@{attribute}" != part.told_by:
                rows = part.step.below.get(f"@{attribute}", _NOTHING).rows
                leaf = Leaf(f"{part.path}/@{attribute}".lstrip("/"), element.sourceline, str(value), rows, part.target)
                (self.leaves if rows else part.target.kept).append(leaf)

    def _part(self, element: etree._Element | None) -> _Part | None:
        """What is known of an element; nothing where the mapping itself says all of it."""
        if element is None:
            return None
        if element not in self._parts:
            above = self._part(element.getparent())
            self._parts[element] = above and self._below(element, above)
        return self._parts[element]

    def _below(self, element: etree._Element, above: _Part) -> _Part | None:
        names, step = self._names, above.step
        name = names.known.get(element.tag) or names.of(element.tag)
        path = f"{above.path}/{name}" if above.path else name
        place = self._place(element) if names.numbered is None or name in names.numbered else 0
        if step.told_apart or (step.first and place < 2):
            step, told_by = _step_to(element, name, step, place or 1)
        else:
            step, told_by = step.below.get(name, _NOTHING), None
        if name == above.told_by:
            return None
        if place or step.opens is not None:
            path = f"{path}[{place or 1}]"
        plain = names.numbered is not None and told_by is None and not step.told_apart and not step.first
        target = above.target if step.opens is None else above.target.opened(step.opens, Place(path, element.sourceline))
        return _Part(path, step, target, told_by, plain)

    def _place(self, element: etree._Element) -> int:
        """The place of an element among those of its name, from 1; 0 where it is the only one and has no place."""
        parent = element.getparent()
        if parent is None:
            return 0
        numbered = self._names.numbered is not None
        key = (parent, element.tag if numbered else "")
        places = self._places.get(key)
        if places is None:
            alike = enumerate(parent.iterchildren(element.tag), start=1)
            places = {each: place for place, each in alike} if numbered else _places(parent, self._names)
            self._places[key] = places
        return places.get(element, 0)


def _places(parent: etree._Element, names: Names) -> dict[etree._Element, int]:
    """Number the parts of an element that share a name; one that stands alone has no place."""
    found: dict[str, list[etree._Element]] = {}
    for each in parent:
        found.setdefault(names.of(each.tag), []).append(each)
    return {each: place for same in found.values() if len(same) > 1 for place, each in enumerate(same, start=1)}


def _step_to(element: etree._Element, name: str, step: Step, place: int) -> tuple[Step, str | None]:
    """The step to an element, and the child of it that the mapping tells it apart by: its text is said by the mapping itself."""
    if step.told_apart:
        for child, texts, below in step.told_apart.get(name, ()):
            text = _text_of(element, child).strip()
            if text in texts if texts is not None else text:
                return below, child if texts is not None else None
    if place == 1 and name in step.first:
        return step.first[name], None
    return step.below.get(name, _NOTHING), None


def _text_of(element: etree._Element, name: str) -> str:
    if name.startswith("@"):
        return str(element.get(name[1:], ""))
    return next((each.text or "" for each in element if local(each.tag) == name), "")


def _forget(element: etree._Element) -> None:
    """Free an element that was dealt with, and all that stands before it: the tree would grow with the file."""
    element.clear()
    for above in (element, *element.iterancestors()):
        parent = above.getparent()
        while parent is not None and above.getprevious() is not None:
            del parent[0]


def _unread(code: str, text: str, line: int | None) -> Unread:
    return Unread.of(ContentError(code, text).problems, line)


class _Counted:
    """A stream of which the head was read, with a bound on what one document may take."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = io.BytesIO(head)
        self._stream = stream
        self.passed = 0

    def read(self, size: int) -> bytes:
        data = self._head.read(size) or self._stream.read(size)
        self.passed += len(data)
        if self.passed > DOCUMENT_BYTES:
            raise ContentError("document-too-large", f"one declaration is at most {DOCUMENT_BYTES:,} bytes of XML")
        return data
