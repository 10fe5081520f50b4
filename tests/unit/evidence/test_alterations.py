"""Nothing in an evidence file can be changed unnoticed: by anybody, and by its own exporter nothing of what the other side said."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.evidence.file import read_evidence, write_evidence
from schemas.errors import ContentError
from schemas.evidence import Account
from tests.unit.evidence.cases import POST, RECEIVER, SENDER, Crossing, judged

CROSSING = Crossing()
FILES = {"post": CROSSING.file(CROSSING.of_post()), "house": CROSSING.file(CROSSING.of_house())}
sides = st.sampled_from(sorted(FILES))
Place = tuple[str | int, ...]


def holds(raw: bytes) -> bool:
    """Whether a file is read and all of it proven."""
    try:
        return judged(raw).holds
    except ContentError:
        return False


@pytest.mark.parametrize("side", FILES)
def test_unchanged_it_holds_and_writing_it_again_gives_it_again(side: str) -> None:
    assert holds(FILES[side])
    again = json.dumps(json.loads(FILES[side]), separators=(",", ":")).encode() + b"\n"
    assert again == FILES[side]


@settings(max_examples=400, deadline=None)
@given(sides, st.data())
def test_every_single_altered_byte_is_detected(side: str, data: st.DataObject) -> None:
    raw = bytearray(FILES[side])
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != FILES[side][at]))
    assert not holds(bytes(raw))


@settings(max_examples=150, deadline=None)
@given(sides, st.data())
def test_every_byte_taken_out_or_put_in_is_detected(side: str, data: st.DataObject) -> None:
    raw = FILES[side]
    at = data.draw(st.integers(0, len(raw)))
    more = data.draw(st.binary(max_size=3))
    less = data.draw(st.integers(0 if more else 1, 3))
    changed = raw[:at] + more + raw[at + less :]
    assert changed == raw or not holds(changed)


def leaves(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place of a JSON document at which a text or a number stands."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, (*place, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, (*place, index))
    else:
        yield place


def changed_at(document: Any, place: Place, value: Any) -> Any:
    """The document with another value there."""
    made = copy.deepcopy(document)
    inner = made
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return made


def at(document: Any, place: Place) -> Any:
    """The value there."""
    for step in place:
        document = document[step]
    return document


@pytest.mark.parametrize("side", FILES)
def test_every_field_that_is_changed_taken_out_or_taken_from_another_file_is_detected(side: str) -> None:
    other = Crossing()
    foreign = json.loads(other.file(other.of_post() if side == "post" else other.of_house()))
    document = json.loads(FILES[side])
    for place in leaves(document):
        value = at(document, place)
        for instead in (value + 1 if isinstance(value, int) else value[:-1], at(foreign, place)):
            if instead != value:
                raw = json.dumps(changed_at(document, place, instead), separators=(",", ":")).encode() + b"\n"
                assert not holds(raw), place
        gone = changed_at(document, place, None)
        assert not holds(json.dumps(gone, separators=(",", ":")).encode() + b"\n"), place


OTHERS = {
    "post": [("receipt", "raw"), ("receipt", "jws"), ("closing", "answer", "raw"), ("closing", "answer", "jws")],
    "house": [("event", "raw"), ("event", "jws"), ("closing", "manifest", "raw"), ("closing", "manifest", "jws")],
}


@settings(max_examples=200, deadline=None)
@given(sides, st.data())
def test_an_exporter_that_seals_what_it_changed_of_the_other_s_words_is_detected(side: str, data: st.DataObject) -> None:
    document = json.loads(FILES[side])["account"]
    place: Place = ("events", 0, *data.draw(st.sampled_from(OTHERS[side])))
    text = at(document, place)
    if place[-1] == "raw":
        content = bytearray(base64.b64decode(text))
        index = data.draw(st.integers(0, len(content) - 1))
        content[index] ^= data.draw(st.integers(1, 255))
        value = base64.b64encode(content).decode()
    else:
        index = data.draw(st.integers(0, len(text) - 1))
        letter = data.draw(st.sampled_from("ABCxyz019-_.").filter(lambda each: each != text[index]))
        value = text[:index] + letter + text[index + 1 :]
    try:
        made = Account.model_validate(changed_at(document, place, value))
    except ValueError:
        return
    raw = write_evidence(made, SENDER if made.exporter == POST.urn else RECEIVER, CROSSING.exported_at)
    assert read_evidence(raw).account == made
    assert not holds(raw)


def test_the_lines_of_a_block_are_bound_to_what_both_sides_signed() -> None:
    document = json.loads(FILES["house"])["account"]
    for place in leaves(document["events"][0]["closing"]["lines"], ("events", 0, "closing", "lines")):
        value = at(document, place)
        instead = value + 1 if isinstance(value, int) else ("0" if value[0] != "0" else "1") + value[1:]
        made = Account.model_validate(changed_at(document, place, instead))
        assert not holds(write_evidence(made, RECEIVER, CROSSING.exported_at))
