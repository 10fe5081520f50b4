"""Events that the unit itself signed, written so that readers disagree about them, or past a limit: set aside, or the whole bundle parked.

Here the attacker holds a unit's key. What is believed must be the sound events beside it, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from broker.bundle.pack import Route
from broker.ports import Message
from schemas.event import event_bytes, new_id, new_salt
from schemas.limits import BODY_BYTES, EVENT_BYTES, INTEGER, JSON_DEPTH
from tests.attacks.opening.corpus import Corpus, Specimen
from tests.unit.bundle.senders import POST, THEIR_HOUSE, attributes, signed_anyhow

ENOUGH = 40  # characters of any value that is put in


def _among(random: Random, corpus: Corpus, spoiled: bytes) -> tuple[str, Message]:
    specimen = corpus.honest
    raws = list(specimen.raws[: random.randrange(len(specimen.raws))])
    raws.insert(random.randrange(len(raws) + 1), spoiled)
    return specimen.door, signed_anyhow(raws, specimen.route)


def _data(value: str) -> Callable[[bytes], bytes]:
    return lambda raw: raw.replace(b'"data":{', b'"data":{"x":' + value.encode("utf-8", "surrogatepass") + b",", 1)


FORMS: tuple[Callable[[bytes], bytes], ...] = (
    *(_data(value) for value in ("NaN", "Infinity", "-Infinity", "-0", "1.0", "1e3", "1E400", "0.1", "-1.5", "01", "+1", "0x10", "1_000")),
    *(_data(value) for value in (str(INTEGER + 1), str(-INTEGER - 1), "9" * 400, "9" * 5000, "1" + "0" * 100_000)),
    *(_data(value) for value in ('"\\u0000"', '"\\ud800"', '"\\udfff"', '"\\ud83d"', '"\\ude00\\ud83d"', '{"\\u0000":1}', '"\\UD800"')),
    *(_data(value) for value in ('"\ud800"', '"\x01"', '"\t"', '"\x1b[2J"', "'x'", "undefined", "None", "tru", "/*x*/1", "1 2", "")),
    *(_data("[" * depth + "]" * depth) for depth in (JSON_DEPTH, 100, 1_000, 100_000)),
    *(_data('{"a":' * depth + "1" + "}" * depth) for depth in (JSON_DEPTH, 1_000, 50_000)),
    _data("[" * 200_000),
    _data('"' + "\\" * 100_001),
    lambda raw: raw.replace(b'"id":', b'"id":"0193ffff-0000-7000-8000-000000000000","id":', 1),
    lambda raw: raw.replace(b'"specversion":', b'"\\u0069d":"0193ffff-0000-7000-8000-000000000000","specversion":', 1),
    lambda raw: raw.replace(b'"source":', b'"source":"urn:customs:tj:ishkoshim","source":', 1),
    lambda raw: raw[:-1] + b',"data":{}}',
    lambda raw: raw[:-1] + b',"data":{"a":1,"a":2}}',
    lambda raw: raw[:-1] + b",}",
    lambda raw: raw[:-1] + b"}}",
    lambda raw: raw + raw,
    lambda raw: raw[:-2] + b"}",
    lambda raw: b"{}",
    lambda raw: b"{" + b" " * 1000 + b"}",
    lambda raw: b"{\xef\xbb\xbf" + raw[1:],
    lambda raw: raw.replace(b'"specversion"', b'"specversion\xff"', 1),
    lambda raw: raw.replace(b'"data":{', b'"data":{"\xc0\xaf":1,', 1),
    lambda raw: raw.replace(b'"data":{', b'"data":{"x":"\xed\xa0\x80",', 1),
    lambda raw: raw.replace(b'"data":{', b'"data":{"x":"\xf4\x90\x80\x80",', 1),
    lambda raw: b"{" + raw.decode().encode("utf-16-be") + b"}",
    lambda raw: raw.replace(b"{", b"{\x00", 1),
    lambda raw: raw.replace(b'":"', b'"\xc2\xa0:"', 1),
)


def loosely_written(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Names twice, NaN, huge numbers, `\\u0000`, lone surrogates, invalid UTF-8, depth, what other parsers let through."""
    raw = random.choice(corpus.honest.raws)
    spoiled = random.choice(FORMS)(raw)
    return _among(random, corpus, spoiled if spoiled != raw else b"{}")


def _values(name: str, *values: Any) -> list[dict[str, Any]]:
    return [{name: value} for value in values]


_ENVELOPE: tuple[dict[str, Any], ...] = (
    *_values("id", "", "7", 7, None, "0193FFFF-0000-7000-8000-00000000000A", "0193ffff-0000-4000-8000-000000000000"),
    *_values("id", "0193ffff-0000-7000-8000-000000000000\n", "0193ffff00007000800000000000000a", [], {"a": 1}),
    *_values("sequence", 0, -1, INTEGER + 1, "1", True, None, [], 1e2),
    *_values("epoch", "", "00112233445566AA", "00112233445566a", "00112233445566aa\n", 1, None, "٠٠112233445566aa"),
    *_values("time", "", "now", 0, "2026-11-24T12:00:00", "2026-11-24T12:00:00+00:00", "2026-13-01T00:00:00Z"),
    *_values("time", "2026-11-24T24:00:00Z", "0000-01-01T00:00:00Z", "2026-11-24T12:00:60Z", "٢٠٢٦-11-24T12:00:00Z"),
    *_values("subject", "", "x" * 201, "a\x1b[31mb", "a\u202eb", "a\nb", "e\u0301", None, 1, "\u2028", "\x9b31m"),
    *_values("legalbasis", "", "x" * 201, "\x07", "a\rb", "\ufeffa", None),
    *_values("purpose", "", "Customs", "x" * 65, "a b", "a\n", None),
    *_values("salt", "", "x" * 21, "x" * 23, "é" * 22, "x" * 21 + "=", None),
    *_values("specversion", "0.3", "1.0 ", 1.0, 1, None),
    *_values("datacontenttype", "text/html", "application/JSON", "", 1),
    *_values("dataschema", "", "https://example.tj/x", "urn:panj:schema:../../etc", "urn:panj:schema:a\n", None),
    *_values("traceparent", "", "00", "00-" + "A" * 32 + "-" + "b" * 16 + "-01", 1),
    *_values("data", [], "", 1, None, [{}]),
    *({name: 1} for name in ("surprise", "__proto__", "constructor", "", "Id", "ID", "id ", "\u0131d")),
)


def envelope(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Attributes missing, of other types, past their length, in other alphabets, with control characters; and such as nobody knows."""
    change = random.choice(_ENVELOPE)
    data = json.loads(random.choice(corpus.honest.raws))["data"]
    event = attributes(corpus.honest.route, 1, data) | change
    return _among(random, corpus, event_bytes({name: value for name, value in event.items() if value is not None}))


def other_than_the_headers(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """An event that is for another receiver, of another source, type or environment than its bundle's headers say."""
    change: dict[str, Any] = random.choice(
        (
            {"source": "urn:customs:tj:ishkoshim"},
            {"source": "urn:customs:af:sher-khan-bandar"},
            {"source": "urn:customs:tj:customs"},
            {"destination": "urn:customs:tj:customs"},
            {"destination": "urn:customs:af:sher-khan-bandar"},
            {"type": "customs.transit-declaration.v1"},
            {"type": "customs.receipt.v1", "sequence": None, "epoch": None},
            {"environment": "production"},
        )
    )
    data = json.loads(random.choice(corpus.honest.raws))["data"]
    return _among(random, corpus, event_bytes(attributes(corpus.honest.route, 1, data, **change)))


def bombs(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Bodies that unpack past the limit, a million tiny events, five hundred and one, an event past its limit, a body past its own."""
    route = corpus.honest.route
    raw = random.choice(corpus.honest.raws)
    room = b" " * (EVENT_BYTES - len(raw) + 1)
    choice = random.randrange(6)
    if choice == 0:
        return "record", signed_anyhow([raw], route, body=b"[\n" + b" " * (40 << 20) + b"\n]")
    if choice == 1:
        return "record", signed_anyhow([b"{}"], route, body=b"[\n" + b",\n".join([b"{}"] * 1_000_000) + b"\n]", events=1_000_000)
    if choice == 2:
        return "record", signed_anyhow([b"{}"] * 501, route)
    if choice == 3:
        return "record", signed_anyhow([raw[:-1] + room + b"}"], route)
    if choice == 4:
        return "record", signed_anyhow([raw[:-1] + room[:-1] + b"}"] * 17, route)
    message = signed_anyhow([raw], route)
    return "record", replace(message, body=random.randbytes(BODY_BYTES + 1), content_encoding=random.choice((None, "gzip")))


def said_by_the_wrong_kind(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """What only a house may say, said by a post; what only a post may say, said by the house; rightly signed by whoever says it."""
    specimen: Specimen = random.choice([each for each in corpus.specimens if each.door != "elsewhere"])
    data = json.loads(specimen.raws[0])["data"]
    for_house = specimen.route.destination.is_house
    sender = replace(specimen.route.source, name="customs" if specimen.route.source.name != "customs" else "ishkoshim")
    if sender.country == "af":
        sender = replace(sender, name="sher-khan-bandar")
    route = Route(sender, THEIR_HOUSE if for_house else POST, specimen.route.type)
    if specimen.route.type.startswith("customs.beacon"):  # both may say it, in their own direction
        route = replace(route, type="customs.receipt.v1")
    made = event_bytes(attributes(route, 1, data) | {"id": new_id(), "salt": new_salt()})
    return specimen.door, signed_anyhow([made], route)
