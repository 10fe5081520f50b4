"""Each limit of the protocol from both sides: one below it and on it a bundle opens, one past it is refused. Rightly signed, all of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broker.bundle.pack import Route
from broker.ports import Message
from broker.trust.keys import Identity
from broker.trust.signing import b64url
from schemas import examples
from schemas.content import validate
from schemas.errors import ContentError, DistrustError
from schemas.event import digest_of, event_bytes
from schemas.limits import (
    BODY_BYTES,
    BUNDLE_EVENTS,
    CHAIN_CERTIFICATES,
    EVENT_BYTES,
    EXTENSION_DEPTH,
    EXTENSION_NAMES,
    EXTENSION_VALUES,
    HEADER_BYTES,
    INTEGER,
    ITEMS,
    JSON_DEPTH,
    PROBLEMS,
    RECEIPT_ANSWERS,
    TEXT_CHARACTERS,
    UNPACKED_BYTES,
)
from schemas.names import EventType
from tests.attacks.opening.corpus import Door, doors, store
from tests.attacks.quiet import quieten
from tests.attacks.rows import Row
from tests.unit.bundle.senders import POST, THEIR_HOUSE, TJ_ROOT, attributes, identity_of, signed_anyhow
from tests.unit.trust.certificates import Pair, header_of, identity, leaf, make, signed

FAMILY = "limits"
EXPORT = Route(POST, THEIR_HOUSE, EventType.EXPORT_DECLARATION.value)
RECEIPT = Route(THEIR_HOUSE, POST, EventType.RECEIPT.value)
Accepted = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: `accepted(n)` says whether a message that uses it up to `n` is taken in whole."""

    name: str
    value: int
    accepted: Accepted
    steps: tuple[int, ...] = (-1, 0, 1)


def attack_limits() -> Iterator[Row]:
    """Three tries for each limit."""
    quieten()
    for limit in _limits(doors(store())):
        got_in, failures = 0, []
        for step in limit.steps:
            taken = limit.accepted(limit.value + step)
            if taken and step > 0:
                got_in += 1
                failures.append(f"{limit.value + step:,} are taken")
            elif not taken and step <= 0:
                failures.append(f"{limit.value + step:,} are refused, which are honest")
        crashed = len(failures) - got_in
        yield Row(FAMILY, limit.name, len(limit.steps), got_in, crashed, None, f"{limit.value:,}", tuple(failures))


def _limits(at: Mapping[str, Door]) -> Iterator[Limit]:
    yield Limit("events in a bundle", BUNDLE_EVENTS, lambda count: _opens(signed_anyhow(_events(count), EXPORT), at, count))
    yield Limit("bytes of an event", EVENT_BYTES, lambda size: _opens(signed_anyhow([_sized(size)], EXPORT), at, 1))
    yield Limit("bytes of a body unpacked", UNPACKED_BYTES, lambda size: _opens(_unpacking_to(size), at, 17))
    yield Limit("bytes of a body as it travels", BODY_BYTES, lambda size: _opens(_travelling(size), at, 5))
    yield Limit("characters of the signature", HEADER_BYTES - HEADER_BYTES % 4, lambda size: _opens(_signature_of(size), at, 1), (-4, 0, 4))
    yield Limit("certificates of a chain", CHAIN_CERTIFICATES, lambda count: _opens(_chain_of(count), at, 1))
    yield Limit("depth of JSON", JSON_DEPTH, lambda depth: _opens(_event(_nested(depth - 2)), at, 1))
    yield Limit("whole numbers", INTEGER, lambda number: _opens(_event({"x": number}), at, 1))
    yield Limit("whole numbers below nought", INTEGER, lambda number: _opens(_event({"x": -number}), at, 1))
    yield Limit("sequence", INTEGER, lambda number: _opens(_event({}, sequence=number), at, 1))
    for name, most in (("subject", 200), ("legalbasis", 200), ("purpose", 64)):
        yield Limit(f"characters of {name}", most, lambda count, name=name: _opens(_event({}, **{name: "x" * count}), at, 1))  # type: ignore[misc]
    yield Limit("answers of a receipt", RECEIPT_ANSWERS, lambda count: _answers(count, 0, at) == count)
    yield Limit("problems of an answer", PROBLEMS, lambda count: _answers(1, count, at) == 1)
    yield from _content_limits()


def _content_limits() -> Iterator[Limit]:
    yield Limit("items of a declaration", ITEMS, lambda count: _sound(items=count))
    yield Limit("characters of a description", TEXT_CHARACTERS, lambda count: _sound(description="x" * count))
    yield Limit("digits before the point of an amount", 14, lambda count: _sound(item_price="9" * count))
    yield Limit("digits behind the point of an amount", 4, lambda count: _sound(item_price="1." + "9" * count))
    yield Limit("names in extensions", EXTENSION_NAMES, lambda count: _sound(extensions={f"n{number}": 1 for number in range(count)}))
    yield Limit("values in extensions", EXTENSION_VALUES, lambda count: _sound(extensions={"x": [1] * (count - 1)}))
    yield Limit("depth of extensions", EXTENSION_DEPTH, lambda depth: _sound(extensions=_nested(depth - 1)))
    yield Limit("characters of a text in extensions", TEXT_CHARACTERS, lambda count: _sound(extensions={"x": "x" * count}))


def _opens(message: Message, at: Mapping[str, Door], count: int) -> bool:
    try:
        return len(at["record"].open(message).believed) == count
    except DistrustError:
        return False


def _events(count: int) -> list[bytes]:
    return [event_bytes(attributes(EXPORT, number)) for number in range(1, count + 1)]


def _event(data: Mapping[str, Any], **changes: Any) -> Message:
    return signed_anyhow([event_bytes(attributes(EXPORT, 1, data, **changes))], EXPORT)


def _sized(size: int, number: int = 1) -> bytes:
    raw = event_bytes(attributes(EXPORT, number))
    return raw[:-1] + b" " * (size - len(raw)) + b"}"


def _unpacking_to(size: int) -> Message:
    """Seventeen events whose body has exactly this size: sixteen that are nearly as large as may be, and the rest."""
    frame = 2 + 2 + 16 * 2
    large = EVENT_BYTES - 2_000
    raws = [_sized(large, number) for number in range(1, 17)]
    return signed_anyhow([*raws, _sized(size - frame - 16 * large, 17)], EXPORT)


def _travelling(size: int) -> Message:
    """Five events in a body of this size that is not packed."""
    frame, large = 2 + 2 + 4 * 2, EVENT_BYTES - 1_000
    raws = [_sized(large, number) for number in range(1, 5)]
    raws.append(_sized(size - frame - 4 * large, 5))
    message = signed_anyhow(raws, EXPORT)
    return Message(message.routing_key, b"[\n" + b",\n".join(raws) + b"\n]", message.headers, message.content_type, None)


def _signature_of(size: int) -> Message:
    (raw,) = _events(1)
    who = identity_of(POST)
    header = header_of([digest_of(raw)], who) | {"note": ""}
    room = (size - 2 - 86) * 3 // 4 - len(json.dumps(header, separators=(",", ":")))
    jws = signed(header | {"note": "x" * room}, who.key)
    return signed_anyhow([raw], EXPORT, jws=jws)


def _chain_of(count: int) -> Message:
    above: list[Pair] = []
    issuer = TJ_ROOT
    for number in range(count - 1):
        issuer = make(f"authority {number}", issuer, ca=True)
        above.insert(0, issuer)
    who: Identity = identity(leaf(issuer), *above)
    return signed_anyhow(_events(1), EXPORT, who)


def _nested(depth: int) -> dict[str, Any]:
    value: Any = {}
    for _ in range(depth):
        value = {"x": value}
    found: dict[str, Any] = value
    return found


def _answers(count: int, problems: int, at: Mapping[str, Door]) -> int:
    told: dict[str, Any] = {"fate": "REFUSED" if problems else "LOADED"}
    if problems:
        told["problems"] = [{"code": "rule-broken", "text": "x"}] * problems
    answers = [{"id": f"0193{number:04x}-0000-7000-8000-{number:012x}", "digest": b64url(bytes(32)), **told} for number in range(count)]
    raw = event_bytes(attributes(RECEIPT, 1, {"answers": answers}))
    return len(at["mailbox"].open(signed_anyhow([raw], RECEIPT)).believed)


def _sound(*, items: int = 1, extensions: dict[str, Any] | None = None, **changes: Any) -> bool:
    """Whether the house takes a declaration's content, with these changes to its first item."""
    data = examples.export("tj", "PNJ", "LIMIT", items=items)
    data["items"][0] |= changes
    if extensions is not None:
        data["extensions"] = extensions
    try:
        validate(EXPORT.type, data)
    except ContentError:
        return False
    return True
