"""The way through an XML document by a declared mapping: to every text that it says, past the boxes that are blank.

What a mapping says of an element is found once for all documents (`_Ways`); each document then costs one look at each of its elements,
and work only where a text stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lxml import etree

from producers.formats.filling import Leaf, Target
from producers.formats.mapping import Mapping, Said, Step
from producers.formats.reading import Place
from producers.formats.xml import local


@dataclass(frozen=True, slots=True)
class Names:
    """How a mapping names elements: its spelling of what systems spell in several ways, and which of them are numbered.

    Without `numbered` those are that repeat in the document; with it these are, even where there is one.
    """

    spelled: Callable[[str], str] = str
    numbered: frozenset[str] | None = None

    def of(self, tag: Any) -> str:
        """The name of an element with this tag."""
        return self.spelled(local(tag))


@dataclass(slots=True, eq=False)
class _Way:
    """What a mapping says of the elements with one path in a document, found once for all documents.

    `direct`: that is all that there is to know of a text there. `apart`: its step is told by what stands in an element, or by its place.
    `told_by`: what tells an element of this step from others; its text is said by the mapping itself, and its way is `silent`.
    """

    path: str
    name: str
    step: Step
    told_by: str | None = None
    numbered: bool = False
    apart: bool = False
    silent: bool = False
    direct: bool = False
    below: dict[str, _Way] = field(default_factory=dict)  # by tag
    placed: dict[tuple[int, int], _Way] = field(default_factory=dict)  # by place and step, where it is not direct


class _Ways:
    """The ways into the documents that one mapping reads, as far as they were gone. Bounded, as files may hold any number of paths."""

    def __init__(self, mapping: Mapping, names: Names) -> None:
        self.root = _Way("", "", mapping.root)
        self.names = names
        self._room = _WAYS

    def below(self, above: _Way, tag: str) -> _Way:
        """The way to elements with this tag, whatever their place."""
        name, step = self.names.of(tag), above.step
        way = _Way(f"{above.path}/{name}" if above.path else name, name, step.below.get(name, _NOTHING))
        way.numbered = self.names.numbered is not None and name in self.names.numbered
        way.apart = name in step.told_apart or name in step.first
        way.silent = above.silent or name == above.told_by
        way.direct = not (self.names.numbered is None or way.numbered or way.apart or way.silent or way.step.opens is not None)
        return self._kept(above.below, tag, way)

    def placed(self, way: _Way, place: int, step: Step, told_by: str | None = None) -> _Way:
        """The way to the element in this place (0: it has none) of which the mapping says `step`."""
        found = way.placed.get((place, id(step)))
        if found is None:
            path = f"{way.path}[{place or 1}]" if place or step.opens is not None else way.path
            found = self._kept(way.placed, (place, id(step)), _Way(path, way.name, step, told_by))
        return found

    def _kept(self, ways: dict[Any, _Way], key: str | tuple[int, int], way: _Way) -> _Way:
        if self._room and len(way.path) <= _PATH_CHARACTERS:
            self._room -= 1
            ways[key] = way
        return way


_NOTHING = Step()
_WAYS = 10_000  # of one mapping: those of a SAD of 150 items
_PATH_CHARACTERS = 200  # of a way that is remembered
_ways_of = lru_cache(maxsize=64)(_Ways)
_ATTRIBUTED = etree.XPath("descendant-or-self::*/@*/..")


def leaves_of(element: etree._Element, mapping: Mapping, data: dict[str, Any], names: Names = Names()) -> tuple[list[Said], Target]:
    """Gather every text of a document that a row takes, and the target that they fill; what no row takes is kept there at once."""
    walk = _Walk(_ways_of(mapping, names), element, data)
    walk.through(element)
    return walk.said, walk.root


@dataclass(slots=True, eq=False)
class _Part:
    """An element with parts, or with attributes: the way to it, and what it fills."""

    way: _Way
    target: Target


class _Walk:
    """The way through a document, only to where a text stands."""

    def __init__(self, ways: _Ways, document: etree._Element, data: dict[str, Any]) -> None:
        self.said: list[Said] = []
        self.root = Target(data, Place(None, document.sourceline))
        self._ways = ways
        self._parts = {document: _Part(ways.root, self.root)}
        self._alike: dict[tuple[etree._Element, str], Iterator[tuple[int, etree._Element]]] = {}
        self._places: dict[etree._Element, dict[etree._Element, int]] = {}

    def through(self, document: etree._Element) -> None:
        """Take all that the document says, in its order. Most elements of most forms are blank: three lines are their whole cost."""
        attributed = set(_ATTRIBUTED(document))
        parts, said = self._parts, self.said
        for element in document.iter():
            text = element.text
            if attributed and element in attributed:
                self._take_attributes(element)
            if not text or not (text := text.strip()) or len(element) or element is document:
                continue
            parent = element.getparent()
            above = parts.get(parent) or self._part_of(parent)
            way = above.way.below.get(element.tag) or self._ways.below(above.way, element.tag)
            if not way.direct:
                self._take(element, text)
            elif way.step.slots:
                said.append((Leaf(way.path, element.sourceline, text), way.step.slots, above.target))
            else:
                above.target.kept.append(Leaf(way.path, element.sourceline, text))

    def _take(self, element: etree._Element, text: str) -> None:
        """Take the text of an element that has its place or begins a part of the data."""
        part = self._parts.get(element) or self._part_of(element)
        if not part.way.silent:
            self._say(Leaf(part.way.path, element.sourceline, text), part.way.step, part.target)

    def _take_attributes(self, element: etree._Element) -> None:
        """Take the attributes of an element that say something."""
        part = self._parts.get(element) or self._part_of(element)
        for attribute, value in () if part.way.silent else element.attrib.items():
            name, text, path = f"@{attribute}", str(value).strip(), part.way.path
            if text and not name.startswith("@{") and name != part.way.told_by:
                leaf = Leaf(f"{path}/{name}" if path else name, element.sourceline, text)
                self._say(leaf, part.way.step.below.get(name, _NOTHING), part.target)

    def _say(self, leaf: Leaf, step: Step, target: Target) -> None:
        if step.slots:
            self.said.append((leaf, step.slots, target))
        else:
            target.kept.append(leaf)

    def _part_of(self, element: Any) -> _Part:
        """Make what is to know of an element beneath the document; each once, in their order."""
        parent = element.getparent()
        above = self._parts.get(parent) or self._part_of(parent)
        way = above.way.below.get(element.tag) or self._ways.below(above.way, element.tag)
        part = _Part(way, above.target) if way.direct or way.silent else self._placed(element, parent, way, above)
        self._parts[element] = part
        return part

    def _placed(self, element: etree._Element, parent: etree._Element, way: _Way, above: _Part) -> _Part:
        place = self._place(element, parent, way)
        step, told_by = _step_to(element, way.name, above.way.step, place or 1) if way.apart else (way.step, None)
        way = self._ways.placed(way, place, step, told_by)
        if step.opens is None:
            return _Part(way, above.target)
        return _Part(way, above.target.opened(step.opens, Place(way.path, element.sourceline)))

    def _place(self, element: etree._Element, parent: etree._Element, way: _Way) -> int:
        """The place of an element among those of its name, from 1; 0 where it has none."""
        if way.numbered:
            key = (parent, element.tag)
            alike = self._alike.get(key)
            if alike is None:
                alike = self._alike[key] = enumerate(parent.iterchildren(element.tag), start=1)
            for place, each in alike:
                if each is element:
                    return place
        if self._ways.names.numbered is not None:
            return 0
        if parent not in self._places:
            self._places[parent] = _places(parent, self._ways.names)
        return self._places[parent].get(element, 0)


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
