"""Bodies of bundles: exact event bytes in, the same bytes out, and nothing that is too large is ever unpacked."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.bundle.lines import CONTENT_TYPE, claimed_bytes, compress, expand, join, split
from broker.ports import Message
from schemas.errors import DistrustError
from schemas.limits import BODY_BYTES, EVENT_BYTES, UNPACKED_BYTES

lines = st.binary(max_size=60).map(lambda middle: b"{" + middle.replace(b"\n", b"") + b"}")


def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(DistrustError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


@given(st.lists(lines, min_size=1, max_size=500))
def test_the_exact_bytes_of_every_event_come_back(events: list[bytes]) -> None:
    assert split(join(events)) == events
    packed, encoding = compress(join(events))
    assert split(expand(packed, encoding)) == events


@given(st.binary(max_size=200))
def test_whatever_splits_joins_to_the_same_body(body: bytes) -> None:
    for candidate in (body, b"[\n{" + body + b"}\n]"):
        with suppress(DistrustError):
            assert join(split(candidate)) == candidate


def test_a_body_is_json_for_anyone() -> None:
    assert json.loads(join([b'{"a":1}', b'{"b":2}'])) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"[]",
        b"[\n]",
        b"[\n\n]",
        b"[{}]",
        b"{}",
        b"[\n{}\n]\n",
        b" [\n{}\n]",
        b"[\r\n{}\r\n]",
        b"[\n{},{}\n,{}\n]",
        b"[\n{}\n,\n{}\n]",
        b"[\n{},\n\n]",
        b"[\n{} \n]",
        b"[\n1,\n2\n]",
        b"\xef\xbb\xbf[\n{}\n]",
    ],
)
def test_a_body_in_any_other_form_is_refused(body: bytes) -> None:
    assert refusal(split, body) == "bundle-form"


def test_one_event_more_than_a_bundle_may_hold_is_refused() -> None:
    assert len(split(join([b"{}"] * 500))) == 500
    assert refusal(split, join([b"{}"] * 501)) == "bundle-count"


def test_one_byte_more_than_an_event_may_have_is_refused() -> None:
    event = b"{" + b"x" * (EVENT_BYTES - 2) + b"}"
    assert split(join([event])) == [event]
    assert refusal(split, join([b"{" + event[1:-1] + b"x}"])) == "bundle-event-too-large"


def test_gzip_is_used_only_where_it_is_smaller() -> None:
    assert compress(b"[\n{}\n]") == (b"[\n{}\n]", None)
    packed, encoding = compress(join([b'{"text":"' + b"a" * 500 + b'"}']))
    assert encoding == "gzip"
    assert gzip.decompress(packed) == join([b'{"text":"' + b"a" * 500 + b'"}'])


def test_a_body_is_never_unpacked_past_the_limit() -> None:
    assert len(expand(gzip.compress(b"a" * UNPACKED_BYTES), "gzip")) == UNPACKED_BYTES
    assert refusal(expand, gzip.compress(b"a" * (UNPACKED_BYTES + 1)), "gzip") == "bundle-too-large"
    assert refusal(expand, gzip.compress(bytes(8 * UNPACKED_BYTES)), "gzip") == "bundle-too-large"


def test_a_body_larger_than_the_limit_is_not_even_looked_at() -> None:
    assert refusal(expand, b"a" * (BODY_BYTES + 1), None) == "bundle-too-large"
    assert len(expand(b"a" * BODY_BYTES, None)) == BODY_BYTES


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no gzip",
        gzip.compress(b"[\n{}\n]", mtime=0)[:-1],
        gzip.compress(b"[\n{}\n]", mtime=0) + b"x",
        gzip.compress(b"[\n{}", mtime=0) + gzip.compress(b"\n]", mtime=0),
        zlib.compress(b"[\n{}\n]"),
        gzip.compress(b"[\n{}\n]", mtime=0)[:-8] + bytes(8),
    ],
)
def test_a_body_that_is_not_one_whole_gzip_stream_is_refused(body: bytes) -> None:
    assert refusal(expand, body, "gzip") == "bundle-gzip"


@pytest.mark.parametrize("encoding", ["deflate", "br", "GZIP", "", "gzip, gzip"])
def test_another_content_encoding_is_refused(encoding: str) -> None:
    assert refusal(expand, b"[\n{}\n]", encoding) == "bundle-encoding"


def test_what_a_body_unpacks_to_is_told_without_unpacking_and_a_lie_does_not_expand() -> None:
    body = join([b"{" + b" " * 100_000 + b"}"] * 9)
    packed, encoding = compress(body)
    assert claimed_bytes(Message("key", packed, {}, CONTENT_TYPE, encoding)) == len(body) > 100 * len(packed)
    assert claimed_bytes(Message("key", body, {}, CONTENT_TYPE)) == len(body)
    assert claimed_bytes(Message("key", b"", {}, CONTENT_TYPE, encoding)) == 0
    lie = packed[:-4] + (7).to_bytes(4, "little")
    assert claimed_bytes(Message("key", lie, {}, CONTENT_TYPE, encoding)) == len(lie)
    assert refusal(expand, lie, encoding) == "bundle-gzip"
