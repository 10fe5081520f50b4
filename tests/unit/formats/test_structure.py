"""Outlines of messages and the forms of their texts."""

from __future__ import annotations

import pytest
from lxml import etree

from producers.formats.forms import form
from producers.formats.structure import Element, check, outline

OUTLINES = (("producers.formats.wco", "declaration.outline"), ("producers.formats.ncts", "messages.outline"))


@pytest.mark.parametrize(
    ("notation", "good", "bad"),
    [
        ("an..4", ["a", "ab d", " abcd "], ["", "  ", "abcde"]),
        ("an4", ["abcd"], ["abc", "abcde"]),
        ("line..4", ["a", " abc"], ["", "    ", "a\nb", "abcde"]),
        ("text..4", ["a", "a b"], ["", " a", "a ", "abcde"]),
        ("ascii..4", [" ab", "~"], ["", "é", "abcde"]),
        ("visible..4", ["a b"], [" ab", "ab ", "é"]),
        ("a2", ["gb", "GB"], ["G", "GBR", "G1"]),
        ("A2", ["GB"], ["gb"]),
        ("AN1", ["A", "7"], ["a", ""]),
        ("n2", ["07"], ["7", "077"]),
        ("1-999", ["1", "999"], ["0", "1000", "01", "-1", "1.0"]),
        ("d16.3", ["1", "-1.5", "+0.125", ".5", "5."], ["", "1.0625", "1e3", "12345678901234.125"]),
        ("plain16.6", ["0", "0.5", "12.000000"], ["-1", "05", ".5", "1.0000001"]),
        ("above-zero16.6", ["0.000001", "1"], ["0", "0.0", "00.1"]),
        ("d", ["123456789012345678901234567890"], ["", "x"]),
        ("0|1", ["0", " 1 "], ["", "2"]),
        ("date", ["2024-02-29"], ["2026-02-29", "20240229", "2024-02-29Z"]),
        ("datetime", ["2026-11-24T08:15:00"], ["2026-11-24T08:15", "2026-11-24T08:15:00Z", "2026-11-24T25:15:00"]),
        ("date-304", ["20261124", "20261124081500Z", "20261124081500+05"], ["2026-11-24", "202611240815", "19991124"]),
        ("mrn", ["26TJ105000ABCDEFJ7", "23TJ105000ABCDEF17"], ["26TJ105000ABCDEFA7", "26TJ105000ABCDEFJ", "26tj105000ABCDEFJ7"]),
        ("grn", ["26TJ0000010000070", "26TJ0000010000070A123456"], ["26TJ000001000007"]),
        ("office", ["TJ105000"], ["TJ10500", "tj105000"]),
        ("eori", ["TJ1"], ["TJ", "T1"]),
        ("currency", ["USD"], ["usd", "US"]),
        ("email", ["a@b.tj"], ["a", "a@b", "é@b.tj"]),
        ("latitude", ["37.20001"], ["91.00000", "37.2"]),
        ("longitude", ["-68.60001"], ["181.00000"]),
        ("tir-carnet", ["25000000", "XA25123456"], ["25000001", "XA24123456"]),
        ("message-type", ["CC015C"], ["CC15C"]),
    ],
)
def test_a_form_fits_what_its_notation_says(notation: str, good: list[str], bad: list[str]) -> None:
    fits = form(notation).fits

    assert [text for text in good if not fits(text)] == []
    assert [text for text in bad if fits(text)] == []


def test_an_unknown_notation_is_no_form() -> None:
    with pytest.raises(ValueError, match="no such form"):
        form("an..")


@pytest.mark.parametrize(("package", "file"), OUTLINES)
def test_every_element_of_an_outline_holds_others_or_has_a_form(package: str, file: str) -> None:
    waiting = list(outline(package, file).values())
    seen: set[int] = set()
    while waiting:
        element = waiting.pop()
        if id(element) in seen:
            continue
        seen.add(id(element))
        assert (element.form is None) == bool(element.order), element.name
        assert element.most is None or element.most >= element.least
        names = [child.name for child in element.children]
        assert len(names) == len(set(names)), element.name
        waiting += element.children


def test_what_is_missing_is_told_before_what_stands_behind_it() -> None:
    declared = Element("Trip", 1, 1)
    declared.children = [Element("From", 1, 1, form("A2")), Element("To", 1, 1, form("A2")), Element("Stop", 0, None, form("A2"))]

    problems = check(etree.fromstring("<Trip>\n<To>tj</To>\n<Stop>AF</Stop><Stop/></Trip>"), declared, {"": ""})

    assert [(problem.code, problem.place.path, problem.place.line) for problem in problems] == [
        ("element-missing", "From", 1),
        ("field-invalid", "To", 2),
        ("field-invalid", "Stop[2]", 3),
    ]


def test_no_more_than_twenty_problems_are_told_of_a_document() -> None:
    declared = Element("List", 1, 1)
    declared.children = [Element("Code", 0, None, form("A2"))]

    assert len(check(etree.fromstring("<List>" + "<Code>1</Code>" * 100 + "</List>"), declared, {"": ""})) == 20


def test_text_between_elements_and_elements_within_a_text_are_faults() -> None:
    declared = Element("Trip", 1, 1)
    declared.children = [Element("From", 1, 1, form("A2"))]

    (between,) = check(etree.fromstring("<Trip>by night<From>TJ</From></Trip>"), declared, {"": ""})
    (within,) = check(etree.fromstring("<Trip><From>TJ<b/></From></Trip>"), declared, {"": ""})

    assert (between.code, within.code) == ("field-invalid", "element-unknown")
