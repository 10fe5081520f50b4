"""Whatever comes, opening ends in a bundle that was signed or in a DistrustError: never in another exception, never in another content."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.bundle.lines import compress, expand
from broker.ports import Message
from broker.trust.anchors import TrustStore
from schemas.errors import DistrustError
from schemas.event import digest_of
from tests.unit.bundle.senders import EXPECTED, POST, bundle, events, identity_of, opened, with_headers
from tests.unit.trust.certificates import header_of, signed

RANDOM = random.Random(20261124)
RAWS = events(5)
GOOD = bundle(RAWS)
JWS = str(GOOD.headers["jws"])
PLAIN = replace(GOOD, body=expand(GOOD.body, GOOD.content_encoding), content_encoding=None)


def flipped(content: bytes, index: int, mask: int) -> bytes:
    return content[:index] + bytes([content[index] ^ mask]) + content[index + 1 :]


@settings(max_examples=300, deadline=None)
@given(index=st.integers(0, len(PLAIN.body) - 1), mask=st.integers(1, 255))
def test_a_body_with_any_byte_changed_never_opens(trust: TrustStore, index: int, mask: int) -> None:
    body = flipped(PLAIN.body, index, mask)
    for message in (replace(PLAIN, body=body), replace(PLAIN, body=(packed := compress(body))[0], content_encoding=packed[1])):
        with pytest.raises(DistrustError):
            opened(message, trust)


@settings(max_examples=300, deadline=None)
@given(index=st.integers(0, len(JWS) - 1), other=st.characters(max_codepoint=300))
def test_a_signature_with_any_character_changed_never_opens(trust: TrustStore, index: int, other: str) -> None:
    changed = JWS[:index] + other + JWS[index + 1 :]
    if changed != JWS:
        with pytest.raises(DistrustError):
            opened(with_headers(GOOD, jws=changed), trust)


def test_a_packed_body_with_any_bit_changed_opens_to_what_was_signed_or_not_at_all(trust: TrustStore) -> None:
    for index in range(len(GOOD.body)):
        message = replace(GOOD, body=flipped(GOOD.body, index, 1 << index % 8))
        try:  # gzip's own header has bytes that say nothing (time, system): there the events are the same
            assert [each.raw for each in opened(message, trust).events] == RAWS
        except DistrustError:
            continue


def cut(message: Message) -> Message:
    return replace(message, body=message.body[: RANDOM.randrange(len(message.body))])


def doubled(message: Message) -> Message:
    start = RANDOM.randrange(len(message.body))
    return replace(message, body=message.body + message.body[start:])


def noise(message: Message) -> Message:
    body = bytearray(message.body)
    for _ in range(RANDOM.randrange(1, 20)):
        body[RANDOM.randrange(len(body))] = RANDOM.randrange(256)
    return replace(message, body=bytes(body))


def other_encoding(message: Message) -> Message:
    return replace(message, content_encoding=RANDOM.choice([None, "gzip", "br", ""]))


def header_value(message: Message) -> Message:
    name = RANDOM.choice(["jws", "source", "destination", "type", "events", "environment"])
    strange: list[Any] = [
        None,
        "",
        0,
        -1,
        2**70,
        True,
        1.5,
        [],
        {},
        b"\xff",
        "\ud800",
        "\0",
        "x" * 300,
        "urn:customs:tj:customs",
        "..",
        "é",
    ]
    return with_headers(message, **{name: RANDOM.choice(strange)})


def jws_part(message: Message) -> Message:
    parts = str(message.headers["jws"]).split(".")
    index = RANDOM.randrange(len(parts))
    part = parts[index]
    at = RANDOM.randrange(len(part) + 1)
    parts[index] = RANDOM.choice([part[:at], part[at:], part + part, part[:at] + RANDOM.choice("=. \n-_Aé") + part[at:], ""])
    return with_headers(message, jws=".".join(parts))


def jws_header(message: Message) -> Message:
    """Another value somewhere in the protected header: certificates, digests and names are all reached."""
    protected, _, signature = str(message.headers["jws"]).split(".")
    header = json.loads(base64.urlsafe_b64decode(protected + "=" * (-len(protected) % 4)))
    where: Any = header if RANDOM.random() < 0.6 else header["sigD"]
    name = RANDOM.choice(list(where))
    where[name] = RANDOM.choice([None, 0, "", [], {}, [[]], "x", -1, 2**60, [None], {"a": 1}, True, where[name] * 2 if where[name] else 0])
    if isinstance(header["x5c"], list) and header["x5c"] and isinstance(header["x5c"][0], str) and RANDOM.random() < 0.5:
        der = bytearray(base64.b64decode(header["x5c"][0] + "=="))
        for _ in range(RANDOM.randrange(1, 4)):
            der[RANDOM.randrange(len(der))] = RANDOM.randrange(256)
        header["x5c"] = [base64.b64encode(der).decode()]
        header["sigD"] = json.loads(base64.urlsafe_b64decode(protected + "=" * (-len(protected) % 4)))["sigD"]
    changed = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return with_headers(message, jws=f"{changed}..{signature}")


MUTATIONS: list[Callable[[Message], Message]] = [cut, doubled, noise, other_encoding, header_value, jws_part, jws_header]


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_thousands_of_spoiled_bundles_end_in_distrust_and_nothing_else(trust: TrustStore) -> None:
    refusals: dict[str, str] = {}
    for _ in range(5_000):
        message = RANDOM.choice([GOOD, PLAIN])
        for mutation in RANDOM.sample(MUTATIONS, RANDOM.choice([1, 1, 2, 3])):
            if message.body and "jws" in message.headers and str(message.headers["jws"]).count(".") == 2:
                try:
                    message = mutation(message)
                except (ValueError, TypeError):  # the mutation itself met what another one had spoiled
                    continue
        try:
            found = opened(message, trust, EXPECTED)
        except DistrustError as error:
            refusals[error.code] = str(error)
        else:
            assert [each.raw for each in found.events] == RAWS
    assert len(refusals) > 15
    assert all(text.isprintable() for text in refusals.values())


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_spoiled_header_that_its_owner_signed_ends_in_distrust_and_nothing_else(trust: TrustStore) -> None:
    refusals: dict[str, str] = {}
    me, digests = identity_of(POST), [digest_of(raw) for raw in RAWS]
    for _ in range(1_500):
        content = bytearray(json.dumps(header_of(digests, me), separators=(",", ":")).encode())
        for _ in range(RANDOM.randrange(1, 4)):
            content[RANDOM.randrange(len(content))] = RANDOM.choice(b'{}[]",:0 ezZ\\\x00\xff')
        try:
            found = opened(with_headers(GOOD, jws=signed(bytes(content), me.key)), trust)
        except DistrustError as error:
            refusals[error.code] = str(error)
        else:  # only what is signed and says nothing: the time, a name that nobody knows
            assert [each.raw for each in found.events] == RAWS
    assert len(refusals) > 5
    assert all(text.isprintable() for text in refusals.values())


def test_a_spoiled_event_that_its_owner_signed_is_set_aside_and_nothing_else(trust: TrustStore) -> None:
    refusals: set[str] = set()
    for _ in range(1_500):
        raw = bytearray(RAWS[0])
        for _ in range(RANDOM.randrange(1, 4)):
            raw[RANDOM.randrange(1, len(raw) - 1)] = RANDOM.choice(b'{}[]",:0 ezZ\\\x00\xff\x1b')
        try:
            found = opened(bundle([*RAWS[1:], bytes(raw)]), trust)
        except DistrustError as error:
            refusals.add(error.code)
        else:
            assert [each.raw for each in found.events][:4] == RAWS[1:]
            assert len(found.events) + len(found.unreadable) == 5
    assert refusals <= {"bundle-copy-mismatch"}
