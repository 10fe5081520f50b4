"""What messages may hold: which elements, in which order, how often, in which form. Declared in outlines, and checked before mapping.

An outline is a text file: a line per element, indented beneath the one that holds it, with how often it may stand there (`1`, `0..1`,
`0..99`, `0..*`) and its form (`producers.formats.forms`). `=Address` is what stands under that name elsewhere in the outline, `+Header`
elements that stand under that name, put in here; `@name` an attribute; `ds:` before a name the namespace that the check is given for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

from lxml import etree

from producers.formats.forms import Form, form
from producers.formats.reading import LocatedProblem, Place
from producers.formats.xml import local
from schemas.errors import ContentError
from schemas.limits import PROBLEMS

_LINE = re.compile(r"(?P<indent> *)(?P<name>\S+)(?: +(?P<least>[0-9]+)(?:\.\.(?P<most>[0-9]+|\*))?)?(?: +(?P<form>\S+))?")


@dataclass(eq=False)
class Element:
    """An element, or attribute, as an outline declares it. `most` is None where it may stand there any number of times."""

    name: str
    least: int
    most: int | None
    form: Form | None = None
    prefix: str = ""
    children: list[Element] = field(default_factory=list)

    @cached_property
    def order(self) -> dict[str, int]:
        """The places of its children by their names."""
        return {child.name: place for place, child in enumerate(self.children) if not child.name.startswith("@")}

    @cached_property
    def is_text(self) -> bool:
        """Whether it holds nothing but text."""
        return not self.children

    @cached_property
    def attributes(self) -> tuple[Element, ...]:
        """Those of its children that are attributes."""
        return tuple(child for child in self.children if child.name.startswith("@"))


@lru_cache(maxsize=32)
def outline(package: str, file: str) -> Mapping[str, Element]:
    """Read an outline that lies in a package, and give its messages by their names."""
    groups: dict[str, Element] = {}
    above: list[Element] = []
    for line in resources.files(package).joinpath(file).read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"{file}: no line of an outline: {line}")
        element = _element(found, groups)
        depth = len(found["indent"]) // 2
        del above[depth:]
        if element.name.startswith("+"):
            above[-1].children += groups[f"={element.name[1:]}"].children
        elif above:
            above[-1].children.append(element)
        else:
            groups[element.name] = element
        above.append(element)
    return groups


def _element(found: re.Match[str], groups: Mapping[str, Element]) -> Element:
    prefix, _, name = found["name"].rpartition(":")
    least = int(found["least"] or 1)
    most = None if found["most"] == "*" else int(found["most"] or least)
    said = found["form"]
    if said is not None and said.startswith("="):
        return Element(name, least, most, None, prefix, groups[said].children)
    return Element(name, least, most, form(said) if said else None, prefix)


def check(element: etree._Element, declared: Element, namespaces: Mapping[str, str]) -> tuple[LocatedProblem, ...]:
    """Compare a document with its outline and give what is wrong, the first 20: `element-unknown`, `element-missing`, `element-misplaced`,
    `attribute-missing`, `namespace-wrong`, `field-invalid`. Attributes that no outline names are let pass.

    `namespaces`: of elements with a prefix in the outline, and under "" of all others; "" where they are in none.
    """
    problems: list[LocatedProblem] = []
    for problem in _faults(element, declared, "", namespaces):
        problems.append(problem)
        if len(problems) == PROBLEMS:
            break
    return tuple(problems)


def _faults(element: etree._Element, declared: Element, path: str, namespaces: Mapping[str, str]) -> Iterator[LocatedProblem]:
    if declared.attributes:
        yield from _faults_of_attributes(element, declared, path)
    children = [child for child in element if isinstance(child.tag, str)]
    if not declared.order:
        if children:
            yield _unknown(children[0], path, declared.name)
        elif (fault := _fault_of_text(element, declared, path)) is not None:
            yield fault
        return
    if any(text and not text.isspace() for text in (element.text, *(child.tail for child in children))):
        yield _fault("field-invalid", "text between elements", path, element)
    yield from _faults_of_order(element, children, declared, path, namespaces)


def _fault_of_text(element: etree._Element, declared: Element, path: str) -> LocatedProblem | None:
    text = element.text or ""
    if declared.form is None or declared.form.fits(text):
        return None
    wanted = declared.form.notation
    return _fault(
        "field-invalid", f"not of the form {wanted}" if text else f"empty, where {wanted} is needed", path, element, value=text.strip()
    )


def _faults_of_order(
    element: etree._Element, children: Sequence[etree._Element], declared: Element, path: str, namespaces: Mapping[str, str]
) -> Iterator[LocatedProblem]:
    order = declared.order
    counts = dict.fromkeys(order, 0)
    there = {local(child.tag) for child in children}
    missing = [name for name, place in order.items() if declared.children[place].least and name not in there]
    reached = 0
    for child in children:
        name = local(child.tag)
        if name not in order:
            yield _unknown(child, path, declared.name)
            continue
        of = declared.children[order[name]]
        counts[name] += 1
        shown = f"{path}/{name}".lstrip("/") + (f"[{counts[name]}]" if of.most != 1 else "")
        namespace = str(child.tag).rpartition("}")[0].lstrip("{")
        if namespace != namespaces.get(of.prefix, ""):
            wanted = namespaces.get(of.prefix) or "none"
            yield _fault("namespace-wrong", f"not in its namespace, which is {wanted}", shown, child, value=namespace)
            return
        while missing and order[missing[0]] < order[name]:
            yield _missing(element, missing.pop(0), declared, path)
        if order[name] < reached:
            yield _fault("element-misplaced", f"{name} stands before {declared.children[reached].name}", shown, child)
        elif of.most is not None and counts[name] > of.most:
            yield _fault(
                "element-misplaced", f"{name} may stand here {'once' if of.most == 1 else f'{of.most} times'}, no more", shown, child
            )
        reached = max(reached, order[name])
        if of.is_text and not len(child):  # most are: without the cost of a generator for each
            if (fault := _fault_of_text(child, of, shown)) is not None:
                yield fault
        else:
            yield from _faults(child, of, shown, namespaces)
    for name in missing:
        yield _missing(element, name, declared, path)


def _missing(element: etree._Element, name: str, declared: Element, path: str) -> LocatedProblem:
    return _fault("element-missing", f"{declared.name} has no {name}", f"{path}/{name}".lstrip("/"), element)


def _faults_of_attributes(element: etree._Element, declared: Element, path: str) -> Iterator[LocatedProblem]:
    for of in declared.attributes:
        shown = f"{path}/{of.name}".lstrip("/")
        text = element.get(of.name[1:])
        if text is None and of.least:
            yield _fault("attribute-missing", f"{declared.name} has no {of.name}", shown, element)
        elif text is not None and of.form is not None and not of.form.fits(text):
            yield _fault("field-invalid", f"not of the form {of.form.notation}", shown, element, value=text)


def _unknown(child: etree._Element, path: str, holder: str) -> LocatedProblem:
    name = local(child.tag)
    return _fault("element-unknown", f"{holder} has no element {name}", f"{path}/{name}".lstrip("/"), child)


def _fault(code: str, text: str, path: str, element: etree._Element, *, value: Any = None) -> LocatedProblem:
    line = int(element.sourceline) if element.sourceline else None
    return LocatedProblem(ContentError(code, text, value=value).problems[0], Place(path or local(element.tag), line))
