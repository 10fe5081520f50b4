"""Our outlines against the schemas of the samples folder: what real documents become when they are changed at random."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from lxml import etree

from producers.formats.ncts.format import FORMAT as NCTS
from producers.formats.reading import Format, LocatedProblem, Unread
from producers.formats.structure import check, outline
from producers.formats.wco.format import FORMAT as WCO
from producers.formats.wco.format import NAMESPACES
from producers.formats.xml import local
from schemas import drafts
from tests.unit.formats.reading import DUSHANBE, parts_of
from tests.unit.formats.samples import SAMPLES, needs_samples

TEXTS = (
    "",
    " ",
    "x",
    "99999",
    "-1",
    "1.5",
    "0",
    "A" * 40,
    "A" * 600,
    "2024-02-30",
    "2024-01-01",
    "20240101",
    "20240101101010Z",
    "GB",
    "gb",
)
MORE = ("AB123456", " lead", "trail ", "two\nlines", "1e3", "+5", "0.0", "00.5", "é", "24GBA4ZYBWXU1BSJ00", "a@b.c", "0001")
CHANGES = 400


@cache
def schema_of(name: str) -> Any:
    """The schema for a document of this name."""
    file = "wco/WCO_DEC_2_DMS.xsd" if name == "Declaration" else f"ncts_p5/{name.lower()}.xsd"
    return etree.XMLSchema(etree.parse(str(SAMPLES / "xsd" / file)))


def problems_of(element: Any) -> tuple[LocatedProblem, ...]:
    """What our own outline finds."""
    name = local(element.tag)
    if name == "Declaration":
        return check(element, outline("producers.formats.wco", "declaration.outline")[name], NAMESPACES)
    return check(element, outline("producers.formats.ncts", "messages.outline")[name], {})


def documents(folder: str, name: str) -> Iterator[Any]:
    """The documents of a folder that are well-formed, each on its own."""
    for path in sorted((SAMPLES / folder).iterdir()):
        try:
            root = etree.parse(str(path)).getroot()
        except etree.XMLSyntaxError:
            continue
        for element in root.iter("{urn:wco:datamodel:WCO:DEC-DMS:2}Declaration") if name == "Declaration" else (root,):
            yield etree.fromstring(etree.tostring(element, with_tail=False))


def change(document: Any, dice: random.Random) -> None:
    """Change one thing in a document: a text, or the place, the number or the name of an element."""
    elements = [element for element in document.iter() if isinstance(element.tag, str)]
    one, other = dice.choice(elements[1:]), dice.choice(elements)
    kind = dice.choice(("text", "text", "remove", "repeat", "swap", "rename", "move"))
    if kind == "text" and not len(one):
        one.text = dice.choice(TEXTS + MORE)
    elif kind == "remove":
        one.getparent().remove(one)
    elif kind == "repeat":
        one.addnext(copy.deepcopy(one))
    elif kind == "swap" and one.getnext() is not None:
        one.getnext().addnext(one)
    elif kind == "rename":
        one.tag += "x"
    elif kind == "move" and one is not other and one not in other.iterancestors():
        other.append(one)


@needs_samples
@pytest.mark.parametrize(("folder", "name"), [("wco_dec", "Declaration"), ("ncts_p5", "")])
def test_a_changed_real_document_is_good_for_the_schema_and_for_us_or_for_neither(folder: str, name: str) -> None:
    originals = list(documents(folder, name))
    dice = random.Random(20261124)  # the same changes in each run: a failure comes again
    differing = []
    for _ in range(CHANGES):
        document = copy.deepcopy(dice.choice(originals))
        change(document, dice)
        ours, schema = problems_of(document), schema_of(local(document.tag))
        if schema.validate(document) == bool(ours):
            differing.append((str(ours[0]) if ours else None, schema.error_log.last_error))

    assert differing == []


@needs_samples
@pytest.mark.parametrize(("folder", "name", "reader"), [("wco_dec", "Declaration", WCO), ("ncts_p5", "", NCTS)])
def test_what_its_schema_allows_is_taken_or_is_no_message_of_ours(folder: str, name: str, reader: Format) -> None:
    originals = [document for document in documents(folder, name) if not problems_of(document)]
    dice = random.Random(911)
    refused: set[str] = set()
    for _ in range(CHANGES):
        document = copy.deepcopy(dice.choice(originals))
        change(document, dice)
        if problems_of(document):
            continue
        for part in parts_of(reader, etree.tostring(document), DUSHANBE):
            if isinstance(part, Unread):
                refused |= {problem.code for problem in part.problems}
            else:
                drafts.check(part.type, part.data)

    assert refused <= {"type-unknown", "message-unsupported"}
