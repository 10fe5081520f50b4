"""Changes to a message that need no key: bits, bytes, pieces, and headers of other types. What is signed is left to the other modules."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from broker.ports import Message
from tests.attacks.opening.corpus import Corpus, Specimen
from tests.unit.bundle.senders import with_headers

Change = Callable[[Random, Corpus], tuple[str, Message]]

DOORS = ("record", "record", "record", "control", "mailbox")


def some(random: Random, corpus: Corpus) -> Specimen:
    """Any specimen that opens somewhere; those of the record more often."""
    return random.choice(corpus.at(random.choice(DOORS)))


def some_form(random: Random, specimen: Specimen) -> Message:
    """The specimen, packed or plain."""
    return specimen.message if random.random() < 0.4 else specimen.plain


def flipped(random: Random, content: bytes, times: int) -> bytes:
    """Some bits turned."""
    changed = bytearray(content)
    for _ in range(times):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def body_bits(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """One to eight bits of the body turned."""
    specimen = some(random, corpus)
    message = some_form(random, specimen)
    return specimen.door, replace(message, body=flipped(random, message.body, random.choice((1, 1, 1, 2, 8))))


def packed_again(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """A bit of an event turned, and the body packed rightly again."""
    specimen = some(random, corpus)
    body = flipped(random, specimen.plain.body, 1)
    return specimen.door, replace(specimen.message, body=gzip.compress(body, 1), content_encoding="gzip")


def body_pieces(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """The body cut, a piece of it twice, taken out, overwritten, or something put in."""
    specimen = some(random, corpus)
    message = some_form(random, specimen)
    body = message.body
    at = random.randrange(len(body))
    to = min(len(body), at + random.randrange(1, 64))
    noise = random.randbytes(random.randrange(1, 64))
    body = random.choice(
        (body[:at], body[at:], body + body[at:], body[:at] + body[to:], body[:at] + noise + body[to:], body[:at] + noise + body[at:], b"")
    )
    return specimen.door, replace(message, body=body)


def text_for_text(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """A value that matters exchanged for another of the same length: digits, fates, names."""
    specimen = some(random, corpus)
    body = specimen.plain.body
    pairs = (
        (b"0.00", b"9.99"),
        (b'"TJ"', b'"AF"'),
        (b"LOADED", b"LOADE "),
        (b"REFUSED", b"LOADED "),
        (b"2026", b"2025"),
        (b"0193", b"0192"),
    )
    old, new = random.choice([pair for pair in pairs if pair[0] in body] or [(body[40:44], b"true")])
    places = [at for at in range(len(body)) if body.startswith(old, at)]
    at = random.choice(places)
    changed = body[:at] + new + body[at + len(old) :]
    if random.random() < 0.5:
        return specimen.door, replace(specimen.message, body=gzip.compress(changed, 1), content_encoding="gzip")
    return specimen.door, replace(specimen.plain, body=changed)


def gzip_tricks(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """A second stream behind the first, a stream cut, other formats, other names of the encoding, other lengths in the trailer."""
    specimen = some(random, corpus)
    plain = specimen.plain.body
    packed = gzip.compress(plain, 1)
    forged = gzip.compress(flipped(random, plain, 1), 1)
    body, encoding = random.choice(
        (
            (packed + forged, "gzip"),
            (forged + packed, "gzip"),
            (packed + b"\0", "gzip"),
            (packed[: random.randrange(len(packed))], "gzip"),
            (zlib.compress(forged), "gzip"),
            (zlib.compress(forged)[2:-4], "gzip"),
            (gzip.compress(packed), "gzip"),
            (forged[:-4] + random.randbytes(4), "gzip"),
            (forged[:-8] + packed[-8:], "gzip"),
            (forged, "GZIP"),
            (forged, "deflate"),
            (forged, "gzip, gzip"),
            (forged, "identity"),
            (forged, None),
            (plain[:2] + b" " + plain[2:], ""),
        )
    )
    return specimen.door, replace(specimen.message, body=body, content_encoding=encoding)


STRANGE: tuple[Any, ...] = (
    *(None, "", 0, -1, 2**62, True, False, 1.5, [], ["x"], {}, {"a": 1}, b"\xff", b"", "\ud800", "\0", "x" * 300, "é", "..", "1"),
    *("urn:customs:tj:customs", "urn:customs:af:customs", "URN:customs:tj:panji-poyon", "urn:customs:tj:panji-poyon\n"),
    *("urn:customs:tj:panji-poyon ", "urn:customs:tj:panji\u2010poyon", "customs.receipt.v1", "production", "Test", "test\0"),
)


def header_values(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """One or two headers of another value or another type."""
    specimen = some(random, corpus)
    message = some_form(random, specimen)
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(("jws", "source", "destination", "type", "events", "environment"))
        value = random.choice(STRANGE)
        message = (
            replace(message, headers={**message.headers, name: value}) if random.random() < 0.9 else with_headers(message, **{name: None})
        )
    if dict(message.headers) == dict(specimen.message.headers):
        message = with_headers(message, source=None)
    return specimen.door, message


def other_route(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Headers and routing key changed together: another source, destination, type or environment for what was signed."""
    specimen = some(random, corpus)
    other = random.choice([each for each in corpus.specimens if each.route != specimen.route])
    route = replace(
        specimen.route,
        **{name: getattr(other.route, name) for name in random.sample(("source", "destination", "type"), random.choice((1, 1, 2)))},
    )
    message = replace(some_form(random, specimen), routing_key=route.routing_key)
    headers: dict[str, Any] = {"source": route.source.urn, "destination": route.destination.urn, "type": route.type}
    if route == specimen.route:
        headers["environment"] = "production"
    return random.choice((specimen.door, other.door if other.door != "elsewhere" else "record")), with_headers(message, **headers)


def jws_characters(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """One character of the signature's text another, gone, or one more."""
    specimen = some(random, corpus)
    jws = str(specimen.message.headers["jws"])
    at = random.randrange(len(jws))
    other = random.choice("ABab01_-+/=. \n\t\0é.")
    changed = random.choice((jws[:at] + other + jws[at + 1 :], jws[:at] + jws[at + 1 :], jws[:at] + other + jws[at:]))
    return specimen.door, with_headers(some_form(random, specimen), jws=changed if changed != jws else jws[1:])


def jws_bits(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """A bit of the signed header, or of the signature, turned and encoded rightly again."""
    specimen = some(random, corpus)
    header, _, signature = str(specimen.message.headers["jws"]).split(".")
    parts = [base64.urlsafe_b64decode(part + "==") for part in (header, signature)]
    which = random.randrange(2)
    parts[which] = flipped(random, parts[which], 1)
    header, signature = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    return specimen.door, with_headers(some_form(random, specimen), jws=f"{header}..{signature}")


def mixture(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Two changes at once."""
    door, message = random.choice((body_bits, body_pieces, gzip_tricks))(random, corpus)
    headers = random.choice((header_values, jws_characters, jws_bits))(random, corpus)[1].headers
    return door, replace(message, headers=headers)
