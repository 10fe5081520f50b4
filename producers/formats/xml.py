"""XML documents, whole, one by one. Entities, DTDs and the network are off; memory is bounded by one document, not by the file.

lxml on libxml2 (https://lxml.de/FAQ.html#how-do-i-use-lxml-safely-as-a-web-service-endpoint); elements are known by their local names.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

from lxml import etree

from producers.formats.reading import Unread
from schemas.errors import ContentError

DOCUMENT_BYTES = 64 * 1024 * 1024  # one declaration of 999 items with all its blank boxes is about 10 MB
DOCUMENT_DEPTH = 40
WHOLE_BYTES = 4 * 1024 * 1024  # a shorter file is parsed at once
_MOST_BYTES = 256 * 1024  # most files are shorter: room for them costs less than room for all

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NOT_ELEMENTS = re.compile(r"<!--.*?(-->|\Z)|<\?.*?(\?>|\Z)", re.DOTALL)
_BEFORE = re.compile(r"\s*(?:<!--.*?-->|<\?.*?\?>)", re.DOTALL)
_SHOWN = 4096  # characters from the first element on that are looked at
_START = re.compile(r"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")


def elements_in(head: bytes) -> Iterator[str]:
    """Give the local names of the elements that a file begins with, one by one; none where it is not XML."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            text = head[len(bom) :].decode(encoding, "ignore")
            break
    else:
        text = head.decode("utf-8", "ignore")
    while found := _BEFORE.match(text):  # remarks before the first element, however long
        text = text[found.end() :]
    text = _NOT_ELEMENTS.sub("", text[:_SHOWN]).lstrip()
    if text.startswith("<"):
        yield from (found[1] for found in _START.finditer(text))


def documents(stream: BinaryIO, names: Collection[str]) -> Iterator[etree._Element | Unread]:
    """Give each element of these local names, whole, in the file's order, wherever it stands; it is emptied when the next is asked for.

    What is no XML, has a DTD, or is too large ends it with an `Unread`; a document that was whole before it is good.
    """
    head = stream.read(_MOST_BYTES)
    if len(head) == _MOST_BYTES:
        head += stream.read(WHOLE_BYTES - _MOST_BYTES)
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
    "remove_blank_text": True,  # between elements: a fifth of the cost of parsing
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


def local(tag: Any) -> str:
    """An element's name without its namespace."""
    return str(tag).rpartition("}")[2]


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
