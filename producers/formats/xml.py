"""XML documents, read by a declared mapping. Entities, DTDs and the network are off; memory is bounded by one document, not by the file.

lxml on libxml2 (https://lxml.de/FAQ.html#how-do-i-use-lxml-safely-as-a-web-service-endpoint); elements are known by their local names.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from lxml import etree

from producers.formats.mapping import Leaf, Mapping, Step, Target
from producers.formats.reading import Place, Unread
from schemas.errors import ContentError

DOCUMENT_BYTES = 64 * 1024 * 1024  # one declaration of 999 items with all its blank boxes is about 10 MB
DOCUMENT_DEPTH = 40

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
    counted = _Counted(stream)
    found = etree.iterparse(
        counted,
        events=("start", "end"),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    depth, within = 0, None
    try:
        for event, element in found:
            if event == "start":
                depth += 1
                if depth == 1 and element.getroottree().docinfo.doctype:
                    yield _unread("xml-doctype", "a document with a DTD is not read: no national system needs one", 1)
                    return
                if depth > DOCUMENT_DEPTH:
                    yield _unread("xml-deep", f"elements nested deeper than {DOCUMENT_DEPTH}", element.sourceline)
                    return
                if within is None and local(element.tag) in names:
                    within = element
                continue
            depth -= 1
            if element is within:
                yield element
                within = None
                _forget(element)
                counted.passed = 0
            elif within is None:
                _forget(element)
    except etree.XMLSyntaxError as error:
        yield _unread("xml-malformed", f"not well-formed XML: {error.msg}", error.lineno)
    except ContentError as error:
        yield Unread.of(error.problems)


@dataclass(frozen=True, slots=True)
class Names:
    """How a mapping names elements: its spelling of what systems spell in several ways, and which are numbered even where there is one."""

    spelled: Callable[[str], str] = str
    numbered: frozenset[str] = frozenset()


def leaves_of(element: etree._Element, mapping: Mapping, data: dict[str, Any], names: Names = Names()) -> tuple[list[Leaf], Target]:
    """Gather every text of a document that says something, with the rows that take it; and the target that they fill."""
    root = Target(data, Place(None, element.sourceline))
    leaves: list[Leaf] = []
    _Walk(leaves, names).down(element, "", mapping.root, root)
    return leaves, root


_NOTHING = Step()
_LOCAL: dict[str, str] = {}


def local(tag: Any) -> str:
    """An element's name without its namespace."""
    name = _LOCAL.get(tag)
    if name is None:
        name = str(tag).rpartition("}")[2]
        if len(_LOCAL) < 10_000:
            _LOCAL[tag] = name
    return name


@dataclass(frozen=True, slots=True)
class _Walk:
    leaves: list[Leaf]
    named: Names

    def down(self, element: etree._Element, path: str, step: Step, target: Target, told_by: str | None = None) -> None:
        for attribute, value in element.attrib.items():
            if value.strip() and not str(attribute).startswith("{") and f"@{attribute}" != told_by:
                rows = step.below.get(f"@{attribute}", _NOTHING).rows
                self.leaves.append(Leaf(Place(f"{path}/@{attribute}".lstrip("/"), element.sourceline), str(value), rows, target))
        children = list(element)
        if not children:
            if element.text and not element.text.isspace():
                self.leaves.append(Leaf(Place(path, element.sourceline), element.text, step.rows, target))
            return
        names = [self.named.spelled(local(child.tag)) for child in children]
        repeated = Counter(names) if len(set(names)) < len(names) else {}
        seen: Counter[str] = Counter()
        for child, name in zip(children, names, strict=True):
            seen[name] += 1
            if name == told_by or (not len(child) and not child.attrib and (not child.text or child.text.isspace())):
                continue
            below, told_apart_by = _step_to(child, name, step, seen[name])
            shown = f"{path}/{name}" if path else name
            if below.opens is not None or repeated.get(name, 0) > 1 or name in self.named.numbered:
                shown = f"{shown}[{seen[name]}]"
            into = target if below.opens is None else target.opened(below.opens, Place(shown, child.sourceline))
            self.down(child, shown, below, into, told_apart_by)


def _step_to(element: etree._Element, name: str, step: Step, place: int) -> tuple[Step, str | None]:
    """The step to an element, and the child of it that the mapping tells it apart by: its text is said by the mapping itself."""
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
    """Free an element that was dealt with, and what stands before it: the tree would grow with the file."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _unread(code: str, text: str, line: int | None) -> Unread:
    return Unread.of(ContentError(code, text).problems, line)


class _Counted:
    """The stream with a bound on what one document may take."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.passed = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.passed += len(data)
        if self.passed > DOCUMENT_BYTES:
            raise ContentError("document-too-large", f"one declaration is at most {DOCUMENT_BYTES:,} bytes of XML")
        return data
