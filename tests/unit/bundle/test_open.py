"""What opens and what does not: every refusal with its code."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.bundle.lines import compress, join
from broker.bundle.open import MAY_SAY, Expected, open_message
from broker.bundle.pack import Route, control_event, pack
from broker.ports import Message
from broker.trust.anchors import TrustStore
from broker.trust.signing import sign
from schemas.control import Beacon
from schemas.errors import DistrustError, UsageError
from schemas.event import digest_of, event_bytes
from schemas.limits import BODY_BYTES, INTEGER, JSON_DEPTH
from schemas.names import STREAM_TYPES, EventType, Party
from tests.unit.bundle.senders import (
    EXPECTED,
    EXPORT,
    HOUSE,
    POST,
    THEIR_HOUSE,
    THEIR_POST,
    attributes,
    bundle,
    events,
    identity_of,
    opened,
    parsed,
    with_headers,
)
from tests.unit.trust.certificates import NOW

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER, INTEGER) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
data = st.dictionaries(texts, values, max_size=4)


def refusal(message: Message, trust: TrustStore, expected: Expected = EXPECTED) -> str:
    with pytest.raises(DistrustError) as caught:
        opened(message, trust, expected)
    return caught.value.code


@settings(max_examples=40, deadline=None)
@given(contents=st.lists(data, min_size=1, max_size=4), repeat=st.sampled_from([1, 1, 7, 125]))
def test_what_is_packed_opens_to_the_same_bytes(trust: TrustStore, contents: list[dict[str, Any]], repeat: int) -> None:
    raws = [event_bytes(attributes(EXPORT, number, content)) for number, content in enumerate(contents * repeat, 1)]
    found = opened(bundle(raws), trust)
    assert [each.raw for each in found.events] == raws
    assert [each.digest for each in found.events] == [digest_of(raw) for raw in raws]
    assert [each.event.data for each in found.events] == contents * repeat
    assert (found.unreadable, found.route, found.signatory.urn) == ((), EXPORT, POST.urn)


@pytest.mark.parametrize("count", [1, 2, 499, 500])
def test_every_count_up_to_five_hundred_travels(trust: TrustStore, count: int) -> None:
    message = bundle(events(count))
    assert message.headers["events"] == count
    assert message.routing_key == "af-customs.customs-export-declaration-v1.tj-panji-poyon"
    assert len(opened(message, trust).events) == count


def test_five_hundred_and_one_are_not_packed_and_do_not_open(trust: TrustStore) -> None:
    raws = events(501)
    with pytest.raises(UsageError):
        bundle(raws)
    body, encoding = compress(join(raws))
    message = with_headers(replace(bundle(raws[:500]), body=body, content_encoding=encoding), events=501)
    assert refusal(message, trust) == "bundle-count"


def test_headers_that_a_broker_adds_do_no_harm(trust: TrustStore) -> None:
    message = bundle(events())
    added: dict[str, Any] = {**message.headers, "x-received-from": [{"cluster-name": "tj"}], "x-delivery-count": 2}
    assert len(opened(replace(message, headers=added), trust).events) == 3


def test_a_unit_does_not_sign_for_another(trust: TrustStore) -> None:
    with pytest.raises(UsageError) as caught:
        bundle(events(), signer=identity_of(HOUSE))
    assert caught.value.code == "bundle-signer"
    raws = events()
    stolen = with_headers(bundle(raws), jws=sign([digest_of(raw) for raw in raws], identity_of(Party("tj", "ishkoshim")), NOW))
    assert refusal(stolen, trust) == "bundle-source-foreign"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"jws": None}, "bundle-header"),
        ({"jws": 7}, "bundle-header"),
        ({"jws": b"bytes"}, "bundle-header"),
        ({"jws": ""}, "jws-form"),
        ({"jws": "x" * 100_001}, "jws-too-long"),
        ({"events": None}, "bundle-header"),
        ({"events": "3"}, "bundle-header"),
        ({"events": True}, "bundle-header"),
        ({"events": 2}, "bundle-copy-mismatch"),
        ({"source": None}, "bundle-header"),
        ({"source": 7}, "bundle-header"),
        ({"source": "x" * 201}, "bundle-header"),
        ({"source": "tj-panji-poyon"}, "bundle-header"),
        ({"source": "urn:customs:tj:ishkoshim"}, "bundle-copy-mismatch"),
        ({"destination": "nobody"}, "bundle-header"),
        ({"destination": "urn:customs:af:sher-khan-bandar"}, "bundle-copy-mismatch"),
        ({"type": None}, "bundle-header"),
        ({"type": "customs.transit-declaration.v1"}, "bundle-copy-mismatch"),
        ({"type": "customs-export-declaration.v1"}, "bundle-type-unknown"),
        ({"environment": None}, "bundle-header"),
        ({"environment": "production"}, "bundle-environment"),
    ],
)
def test_a_header_that_is_missing_or_disagrees_parks_the_bundle(trust: TrustStore, changes: dict[str, Any], code: str) -> None:
    assert refusal(with_headers(bundle(events()), **changes), trust) == code


def test_a_routing_key_that_disagrees_parks_the_bundle(trust: TrustStore) -> None:
    for key in ("", "af-customs", "af-customs.customs-export-declaration-v1.tj-ishkoshim", "é"):
        assert refusal(replace(bundle(events()), routing_key=key), trust) == "bundle-copy-mismatch"


def test_another_content_type_or_too_large_a_body_is_refused_first(trust: TrustStore) -> None:
    message = bundle(events())
    assert refusal(replace(message, content_type="application/json"), trust) == "bundle-content-type"
    assert refusal(replace(message, body=b"x" * (BODY_BYTES + 1)), trust) == "bundle-too-large"


def test_an_event_moved_from_another_bundle_is_not_believed(trust: TrustStore) -> None:
    raws = events(4)
    message = bundle(raws[:3])
    body, encoding = compress(join([raws[0], raws[1], raws[3]]))
    assert refusal(replace(message, body=body, content_encoding=encoding), trust) == "jws-digests"
    body, encoding = compress(join([raws[0], raws[2], raws[1]]))
    assert refusal(replace(message, body=body, content_encoding=encoding), trust) == "jws-digests"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"source": "urn:customs:tj:ishkoshim"}, "bundle-copy-mismatch"),
        ({"destination": "urn:customs:tj:customs"}, "bundle-copy-mismatch"),
        ({"type": "customs.import-declaration.v1"}, "bundle-copy-mismatch"),
        ({"environment": "production"}, "bundle-copy-mismatch"),
    ],
)
def test_a_signed_event_that_is_not_what_the_headers_say_parks_the_bundle(trust: TrustStore, change: dict[str, Any], code: str) -> None:
    raws = [*events(2), event_bytes(attributes(EXPORT, 3, **change))]
    assert refusal(bundle(raws), trust) == code


@pytest.mark.parametrize(
    "spoiled",
    [
        b'{"specversion":"1.0","specversion":"1.0"}',
        b"{nothing}",
        b"{\xff}",
        b"{}",
        b'{"a":' * (JSON_DEPTH + 1) + b"1" + b"}" * (JSON_DEPTH + 1),
        *(
            event_bytes(attributes(EXPORT, 1, **change))
            for change in (
                {"id": "7"},
                {"id": "00000000-0000-4000-8000-000000000000"},
                {"sequence": None},
                {"sequence": 0},
                {"sequence": INTEGER + 1},
                {"epoch": "x"},
                {"salt": "short"},
                {"time": "2026-11-24T12:00:00+05:00"},
                {"time": "yesterday"},
                {"time": 1_795_521_600},
                {"time": "1795521600"},
                {"time": "2026-11-24 12:00:00Z"},
                {"time": "2026-13-24T12:00:00Z"},
                {"sequence": "1"},
                {"sequence": True},
                {"subject": "a\x1b[2Jb"},
                {"legalbasis": "law\u202e"},
                {"specversion": "0.3"},
                {"purpose": ""},
                {"surprise": 1},
                {"datacontenttype": "text/xml"},
            )
        ),
    ],
)
def test_one_bad_event_does_not_cost_its_bundle(trust: TrustStore, spoiled: bytes) -> None:
    good = events(2)
    found = opened(bundle([good[0], spoiled, good[1]]), trust)
    assert [each.raw for each in found.events] == good
    assert [(each.raw, each.digest) for each in found.unreadable] == [(spoiled, digest_of(spoiled))]
    assert found.unreadable[0].problem.code


def test_a_bundle_for_another_receiver_lane_or_environment_is_parked(trust: TrustStore) -> None:
    message = bundle(events())
    assert refusal(message, trust, replace(EXPECTED, receiver=THEIR_POST)) == "bundle-destination"
    assert refusal(message, trust, replace(EXPECTED, lane_country="af")) == "trust-country-mismatch"
    assert refusal(message, trust, replace(EXPECTED, environment="production")) == "bundle-environment"


@pytest.mark.parametrize("event_type", list(EventType))
def test_only_those_speak_whom_the_table_lets_speak(trust: TrustStore, event_type: EventType) -> None:
    assert set(MAY_SAY) == set(EventType)
    for source, destination in product((POST, HOUSE), (THEIR_POST, THEIR_HOUSE)):
        route = Route(source, destination, event_type.value)
        message = bundle(events(1, route), route)
        expected = Expected("tj", destination, "test")
        if (source.is_house, destination.is_house) in MAY_SAY[event_type]:
            assert opened(message, trust, expected).route == route
        else:
            assert refusal(message, trust, expected) == "bundle-may-not-say"


def test_posts_alone_declare_and_houses_alone_answer() -> None:
    for event_type, pairs in MAY_SAY.items():
        senders = {"house" if sender else "post" for sender, _ in pairs}
        if event_type in STREAM_TYPES or event_type in (EventType.MANIFEST, EventType.RECOVERY, EventType.WITHDRAWAL):
            assert senders == {"post"}
        elif event_type in (
            EventType.RECEIPT,
            EventType.MANIFEST_ANSWER,
            EventType.MANIFEST_REQUEST,
            EventType.RECOVERY_ANSWER,
            EventType.CRL,
        ):
            assert senders == {"house"}


def test_a_type_that_the_protocol_does_not_know_is_parked(trust: TrustStore) -> None:
    message = bundle(events())
    changed = replace(message, routing_key=message.routing_key.replace("export-declaration-v1", "export-declaration-v2"))
    assert refusal(with_headers(changed, type="customs.export-declaration.v2"), trust) == "bundle-type-unknown"


def test_a_certificate_that_has_expired_parks_the_bundle(trust: TrustStore) -> None:
    with pytest.raises(DistrustError) as caught:
        open_message(bundle(events()), trust, EXPECTED, NOW + timedelta(days=101))
    assert caught.value.code == "trust-expired"


def test_a_control_event_is_an_event_outside_streams(trust: TrustStore) -> None:
    route = Route(POST, THEIR_HOUSE, EventType.BEACON.value)
    raw = control_event(
        EventType.BEACON,
        POST,
        THEIR_HOUSE,
        environment="test",
        purpose="operations",
        legal_basis="protocol",
        subject="beacon",
        data=Beacon(mark=7, sent_at=NOW),
        now=NOW,
    )
    assert b"\n" not in raw
    assert not {"sequence", "epoch", "traceparent"} & set(parsed(raw))
    (found,) = opened(bundle([raw], route), trust).events
    assert Beacon.model_validate(found.event.data) == Beacon(mark=7, sent_at=NOW)
    assert found.event.time == NOW


def test_packing_asks_for_a_digest_of_each_event() -> None:
    with pytest.raises(UsageError) as caught:
        pack(EXPORT, events(2), [b"\0" * 32], identity_of(POST), NOW)
    assert caught.value.code == "bundle-count"


def test_a_bundle_past_the_size_limits_is_not_packed() -> None:

    raw = event_bytes(attributes(EXPORT, 1, {"noise": secrets.token_hex(500_000)}))
    with pytest.raises(UsageError) as caught:
        bundle([raw] * 17)
    assert caught.value.code == "bundle-too-large"
