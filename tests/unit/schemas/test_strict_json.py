"""Strict JSON takes what everyone reads alike, and nothing else."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ContentError
from schemas.examples import export
from schemas.limits import INTEGER, JSON_DEPTH
from schemas.strict_json import STRING_CHARACTERS, parse, write

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
LEAVES = st.none() | st.booleans() | st.integers(-INTEGER, INTEGER) | TEXTS
# Leaves, a list, an object and so on: eight levels at the most beneath the outer object, within JSON_DEPTH.
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=8)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=5)


def code_of(raw: bytes) -> str:
    with pytest.raises(ContentError) as caught:
        parse(raw)
    return caught.value.code


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1, "\t"]))
@settings(max_examples=300)
def test_what_json_dumps_writes_within_the_rules_is_read_back(value: dict[str, Any], ascii_only: bool, indent: Any) -> None:
    if depth_of(value) <= JSON_DEPTH:
        assert parse(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) == value


@given(
    st.binary(max_size=200)
    | OBJECTS.map(lambda value: json.dumps(value).encode()[:-1])
    | st.text('{}[]",:0\\u "e-', max_size=60).map(str.encode)
)
@settings(max_examples=500)
def test_any_bytes_are_read_or_refused_with_a_json_code(raw: bytes) -> None:
    refused, value = "", None
    try:
        value = parse(raw)
    except ContentError as error:
        refused = error.code
    if refused:
        assert refused.startswith("json-")
    else:
        assert value == json.loads(raw)
        assert depth_of(value) <= JSON_DEPTH


ANY_LEAF = LEAVES | st.floats() | st.integers() | st.sampled_from([0.0, -0.0, 1e16, 2**53, -(2**53), 2**63, 2**64]) | st.text(max_size=5)
ANY_VALUE = st.recursive(ANY_LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=8)
PAIRS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]) | TEXTS, ANY_VALUE), max_size=4)  # a name may come twice


@given(PAIRS, st.booleans())
@settings(max_examples=500)
def test_how_it_is_written_makes_no_difference_to_what_is_taken_and_refused(pairs: list[tuple[str, Any]], ascii_only: bool) -> None:
    members = (f"{json.dumps(name)}:{json.dumps(value, ensure_ascii=ascii_only, separators=(',', ':'))}" for name, value in pairs)
    compact = "{" + ",".join(members) + "}"
    assert outcome_of(compact.encode(errors="surrogatepass")) == outcome_of(compact.encode(errors="surrogatepass") + b" ")


def outcome_of(raw: bytes) -> object:
    try:
        return parse(raw)
    except ContentError as error:
        return error.code


@given(OBJECTS)
@settings(max_examples=300)
def test_it_writes_what_the_standard_library_writes(value: dict[str, Any]) -> None:
    assert write(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert write(value, sorted_names=True) == json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\xef\xbb\xbf{}", "json-encoding"),
        (b'{"a":"\xff"}', "json-encoding"),
        (b'{"a":"\xed\xa0\x80"}', "json-encoding"),  # a surrogate written in UTF-8
        ('{"a":"ё"}'.encode("utf-16"), "json-encoding"),
        (b"", "json-syntax"),
        (b"{", "json-syntax"),
        (b"{} {}", "json-syntax"),
        (b"{}x", "json-syntax"),
        (b'{"a":1,}', "json-syntax"),
        (b"{'a':1}", "json-syntax"),
        (b'{"a":01}', "json-syntax"),
        (b'{"a":+1}', "json-syntax"),
        (b'{"a":"line\nend"}', "json-syntax"),
        (b'{"a":"\x00"}', "json-syntax"),
        (b'{"a":' + b"1" * 5_000 + b"}", "json-syntax"),
        (b'{"a":1,"a":1}', "json-duplicate-key"),
        (b'{"a":1,"\\u0061":2}', "json-duplicate-key"),
        (b'{"o":{"a":1,"b":2,"a":3}}', "json-duplicate-key"),
        (b'{"a":1.0}', "json-number"),
        (b'{"a":1e3}', "json-number"),
        (b'{"a":-0}', "json-number"),
        (b'{"a":NaN}', "json-number"),
        (b'{"a":Infinity}', "json-number"),
        (b'{"a":-Infinity}', "json-number"),
        (b'{"a":9007199254740992}', "json-number"),
        (b'{"a":-9007199254740992}', "json-number"),
        (b'{"a":"\\u0000"}', "json-text"),
        (b'{"\\u0000":1}', "json-text"),
        (b'{"a":"\\ud800"}', "json-text"),
        (b'{"a":["\\uDC00\\uD800"]}', "json-text"),
        (b"[]", "json-not-object"),
        (b'"a"', "json-not-object"),
        (b"null", "json-not-object"),
    ],
)
def test_what_readers_disagree_about_is_refused(raw: bytes, code: str) -> None:
    assert code_of(raw) == code


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a":9007199254740991}', INTEGER),
        (b'{"a":-9007199254740991}', -INTEGER),
        (b'{"a":"\\ud83d\\ude00"}', "\U0001f600"),
        (b'{"a":"\\\\ud800"}', "\\ud800"),
        ('{"a":"Тоҷикистон افغانستان"}'.encode(), "Тоҷикистон افغانستان"),
    ],
)
def test_what_stands_just_within_is_taken(raw: bytes, value: object) -> None:
    assert parse(raw) == {"a": value}


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_depth_is_taken_up_to_its_limit_and_refused_one_past_it(opening: str, closing: str) -> None:
    def nested(depth: int) -> bytes:
        inner = depth - 1
        return ('{"a":' + opening * inner + "1" + closing * inner + "}").encode()

    assert depth_of(parse(nested(JSON_DEPTH))) == JSON_DEPTH
    assert code_of(nested(JSON_DEPTH + 1)) == "json-depth"
    assert code_of(nested(100_000)) == "json-depth"


@pytest.mark.parametrize("brackets", ["[[[[[[[[[[[[[[[[[[[[", '{\\"[{\\"', "]]]]]]]]]]]]]]]]]]]]"])
def test_brackets_within_text_do_not_count(brackets: str) -> None:
    assert parse(f'{{"a":"{brackets}","b":[[[]]],"c":"\\\\","d":"{brackets}"}}'.encode())["b"] == [[[]]]


def test_closing_brackets_within_text_do_not_hide_depth() -> None:
    deep = b'{"a":' + b'["]]]",' * (JSON_DEPTH + 1) + b"1" + b"]" * (JSON_DEPTH + 1) + b"}"
    assert code_of(deep) == "json-depth"


def test_a_string_is_taken_up_to_its_limit_and_refused_one_past_it() -> None:
    assert len(parse(b'{"a":"' + b"x" * STRING_CHARACTERS + b'"}')["a"]) == STRING_CHARACTERS
    assert code_of(b'{"a":"' + b"x" * (STRING_CHARACTERS + 1) + b'"}') == "json-text"


@pytest.mark.parametrize(
    "raw",
    [b"[" * 2**20, b'"' * 2**20, b'{"a":"' + b'\\"' * 2**19, b'{"a":[' + b"[]," * 2**18 + b"[]]]}", b"[]" * 2**19, b"\\" * 2**20],
    ids=["open", "quotes", "unterminated", "pairs", "unseparated", "backslashes"],
)
def test_a_hostile_megabyte_costs_no_more_than_a_moment(raw: bytes) -> None:
    begun = time.process_time()
    assert code_of(raw) in ("json-depth", "json-syntax", "json-not-object")
    assert time.process_time() - begun < 2  # seconds; the quadratic ways to do it take minutes


def test_a_whole_declaration_is_read_as_it_was_written() -> None:
    data = export("tj", "PNJ01", "1", items=50)
    assert parse(json.dumps(data, ensure_ascii=False).encode()) == data
