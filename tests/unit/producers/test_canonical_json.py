"""Canonical JSON files, good and broken."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.formats.canonical_json import FORMAT, OBJECT_BYTES
from producers.formats.reading import Conventions, Part, ReadDeclaration, Unread
from producers.formats.registry import format_of
from schemas.errors import ContentError
from tests.unit.producers.examples import EXPORT, export


def said(number: str = "1", **changes: Any) -> dict[str, Any]:
    return {"type": EXPORT, "declaration": export(number), **changes}


def parts_of(raw: bytes) -> list[Part]:
    return list(FORMAT.read(io.BytesIO(raw), Conventions()).parts)


def code_of(part: Part) -> str:
    assert isinstance(part, Unread), part
    return part.problems[0].code


def test_one_object_is_read_however_it_is_laid_out() -> None:
    for raw in (json.dumps(said()), json.dumps(said(), indent=2), "\ufeff\r\n " + json.dumps(said(), indent="\t") + "\r\n\n"):
        reading = FORMAT.read(io.BytesIO(raw.encode()), Conventions())
        assert reading.tells_its_end
        assert list(reading.parts) == [ReadDeclaration(EXPORT, export("1"))]


def test_one_object_a_line_is_read_line_by_line_and_a_broken_line_costs_only_itself() -> None:
    lines = [json.dumps(said("1")), "", json.dumps(said("2"))[:-9] + "}", json.dumps(said("3")), "rubbish", json.dumps(said("4"))]
    reading = FORMAT.read(io.BytesIO("\n".join(lines[:1] + lines[3:]).encode()), Conventions())
    assert not reading.tells_its_end
    parts = parts_of("\n".join(lines[:1] + lines[3:]).encode())
    assert [part.data["registration_number"] for part in parts if isinstance(part, ReadDeclaration)] == ["1", "3", "4"]
    parts = parts_of("\n".join(lines).encode())
    assert [part.line for part in parts] == [1, 3, 4, 5, 6]
    assert [part.line for part in parts if isinstance(part, Unread)] == [3, 5]


def test_a_pretty_printed_object_whose_lines_end_in_braces_is_still_one_object() -> None:
    raw = json.dumps(said(), indent=1).replace('{\n "type"', '{"unknown": {}\n, "type"', 1)
    assert code_of(parts_of(raw.encode())[0]) == "field-unknown"


def test_where_a_file_stops_being_json_its_line_is_told() -> None:
    lines = json.dumps(said(), indent=1).splitlines()
    lines[7] = lines[7].rstrip(",") + " oops"
    (part,) = parts_of("\n".join(lines).encode())
    assert (code_of(part), part.line) == ("json-syntax", 8)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"type": "customs.export-declaration.v1"}', "field-missing"),
        (b'{"declaration": {}}', "field-missing"),
        (b'{"type": "customs.export-declaration.v1", "declaration": {}, "sender": 1}', "field-unknown"),
        (b'{"type": "customs.receipt.v1", "declaration": {}}', "type-unknown"),
        (b'{"type": 7, "declaration": {}}', "type-unknown"),
        (b'{"type": "customs.export-declaration.v1", "declaration": [1]}', "field-invalid"),
    ],
)
def test_an_object_of_another_shape_is_told_what_is_wrong(raw: bytes, code: str) -> None:
    (part,) = parts_of(raw)
    assert code_of(part) == code


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"type":' * 50_000,
        b'{"type": "a", "type": "b", "declaration": {}}',
        b'{"type": "customs.export-declaration.v1", "declaration": {"gross_mass_kg": NaN}}',
        b'{"type": "customs.export-declaration.v1", "declaration": {"gross_mass_kg": 1.5}}',
        b'{"type": "customs.export-declaration.v1", "declaration": {"version": ' + b"9" * 5_000 + b"}}",
        b'{"type": "customs.export-declaration.v1", "declaration": {"a": "\\ud800"}}',
        b'{"type": "customs.export-declaration.v1", "declaration": {"a": "\\u0000"}}',
        b'{"a": "\xff\xfe"}',
        b'[{"type": "customs.export-declaration.v1", "declaration": {}}]',
        json.dumps({"type": EXPORT, "declaration": {}}).encode()[:-1],
    ],
)
def test_what_is_not_one_strict_json_object_is_unread(raw: bytes) -> None:
    (part,) = parts_of(raw)
    assert code_of(part).startswith("json-"), part


def test_an_object_past_the_limit_is_refused_without_being_read_whole() -> None:
    stream = io.BytesIO(b'{"a": "' + b"x" * (OBJECT_BYTES * 2) + b'"}')
    (part,) = FORMAT.read(stream, Conventions()).parts
    assert code_of(part) == "object-too-large"
    assert stream.tell() <= OBJECT_BYTES + 2


def test_a_line_past_the_limit_costs_only_itself() -> None:
    huge = b'{"a": "' + b"x" * (OBJECT_BYTES + 5) + b'"}'
    raw = b"\n".join([json.dumps(said("1")).encode(), json.dumps(said("2")).encode(), huge, json.dumps(said("3")).encode()])
    parts = parts_of(raw)
    assert [part.data["registration_number"] for part in parts if isinstance(part, ReadDeclaration)] == ["1", "2", "3"]
    assert [code_of(part) for part in parts if isinstance(part, Unread)] == ["object-too-large"]


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_read_or_unread_and_never_raise(raw: bytes) -> None:
    try:
        format_of(raw, (FORMAT,))
    except ContentError:
        assert not FORMAT.recognises(raw)
    parts_of(raw)


@given(st.integers(min_value=0, max_value=2_000))
def test_a_cut_object_is_never_taken_for_a_whole_one(length: int) -> None:
    whole = json.dumps(said(), indent=1).encode()
    parts = parts_of(whole[: min(length, len(whole) - 1)])
    assert not any(isinstance(part, ReadDeclaration) for part in parts)
