"""The part of `vectors.json` about closings: blocks and their digests, manifests and their answers, chains that hold or break.

Written by `vectors`; what a partner does with it stands in docs/protocol.md, section 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from broker.bundle.pack import Route
from broker.trust.keys import Identity
from broker.trust.signing import sign
from schemas.closing import Line, block_digest, compare, digest_text, spans, tell
from schemas.control import Manifest, ManifestAnswer, ManifestBlock, ManifestStream
from schemas.event import digest_of, utc_text
from schemas.names import EventType, Party
from tests.unit.bundle import vectors
from tests.unit.trust.certificates import Pair, identity, leaf, root

EPOCH = "5a3f00c2d1e4b697"
EXPORT = EventType.EXPORT_DECLARATION
AFGHAN = root("Panj test vectors af", key=vectors.fixed_key("authority af"), since=vectors.SINCE, until=vectors.UNTIL)
MANIFEST = Route(vectors.POST, vectors.THEIR_HOUSE, EventType.MANIFEST.value)
ANSWER = Route(vectors.THEIR_HOUSE, vectors.POST, EventType.MANIFEST_ANSWER.value)
LONG_AGO = {1: (1_000, digest_text(digest_of(b"the block that was archived")))}
OTHER = Line(4, "01930004-0000-7000-8000-00000000beef", digest_of(b"another event in place 4"))

Archived = Mapping[int, tuple[int, str]]


@dataclass(frozen=True)
class Agreed:
    """The last closing that the house had agreed to: its number, and the digest of its answer."""

    number: int = 0
    digest: str | None = None


def line(sequence: int) -> Line:
    """The line of one of the export declarations of these vectors."""
    return Line(sequence, f"0193{sequence:04x}-0000-7000-8000-{sequence:012x}", digest_of(vectors.export(sequence)))


def lines(*sequences: int) -> list[Line]:
    return [line(sequence) for sequence in sequences]


def block(stated: Sequence[Line], first: int, last: int, *absent: tuple[int, int]) -> ManifestBlock:
    return ManifestBlock(first=first, last=last, digest=digest_text(block_digest(stated)), absent=absent)


def manifest(number: int, previous: str | None, *blocks: ManifestBlock) -> Manifest:
    stream = ManifestStream(type=EXPORT, epoch=EPOCH, last=blocks[-1].last, blocks=blocks)
    return Manifest(number=number, previous=previous, closed_at=_at(number), streams=(stream,))


def documents() -> dict[str, Any]:
    post, house = identity(vectors.unit(vectors.POST)), _house()
    exchanges = _exchanges(post, house)
    return {
        "anchors_pem": {"tj": vectors.AUTHORITY.pem.decode(), "af": AFGHAN.pem.decode()},
        "blocks": _blocks(),
        "exchanges": exchanges,
        "chains": _chains(),
    }


def _house() -> Identity:
    party: Party = vectors.THEIR_HOUSE
    pair: Pair = leaf(AFGHAN, party.urn, key=vectors.fixed_key(party.unit), since=vectors.SINCE, until=vectors.UNTIL)
    return identity(pair, urn=party.urn)


def _at(number: int) -> datetime:
    return vectors.NOW + timedelta(minutes=number)


def _blocks() -> list[dict[str, Any]]:
    def case(name: str, stated: Sequence[Line], why: str, *absent: tuple[int, int]) -> dict[str, Any]:
        numbers = [each.sequence for each in stated] + [number for pair in absent for number in pair]
        ((first, last),) = spans(min(numbers), max(numbers))
        text = "".join(f"{each.sequence} {each.id} {digest_text(each.digest)}\n" for each in stated)
        made = block(stated, first, last, *absent)
        return {"name": name, "why": why, "first": first, "last": last, "absent": absent, "lines": _told(stated), "text": text} | {
            "digest": made.digest
        }

    return [
        case("three-events", lines(1, 2, 3), "a stream's first three events"),
        case("second-block", lines(1_001, 1_002), "blocks begin at 1, 1001, 2001, …"),
        case("with-absent", lines(1, 2, 3, 5, 6), "the post itself knows nothing of sequence 4: it has no line", (4, 4)),
        case("nothing-known", [], "the post knows nothing of any: the digest over no line", (1, 2)),
    ]


def _told(stated: Sequence[Line]) -> list[dict[str, Any]]:
    return [{"sequence": each.sequence, "id": each.id, "digest": digest_text(each.digest)} for each in stated]


def _exchanges(post: Identity, house: Identity) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []

    def exchange(name: str, said: Manifest, held: Sequence[Line], last: Agreed, why: str, archived: Archived | None = None) -> Agreed:
        """Have a manifest answered by a house that holds these lines; gives what the house has agreed to then."""
        number = len(told) + 1
        stated = vectors.event(MANIFEST, 100 + number, _data(said), f"closing {said.number}")
        answer = _answer(said, stated, held, archived or {}, last)
        answered = vectors.event(ANSWER, 200 + number, _data(answer), f"closing {said.number}")
        told.append(
            {
                "name": name,
                "why": why,
                "held": _told(held),
                "archived": [{"first": first, "last": end, "digest": digest} for first, (end, digest) in (archived or {}).items()],
                "manifest": _said(stated, post, _at(said.number)),
                "answer": _said(answered, house, _at(said.number)),
            }
        )
        return Agreed(said.number, digest_text(digest_of(answered))) if answer.agreed else last

    tip = exchange("first", manifest(1, None, block(lines(1, 2, 3), 1, 3)), lines(1, 2, 3), Agreed(), "both have the same three events")
    five = block(lines(1, 2, 3, 4, 5), 1, 5)
    exchange("wrong-previous", manifest(2, five.digest, five), lines(1, 2, 3, 4, 5), tip, "agreed, and names another one as the one before")
    tip = exchange("lacking", manifest(2, tip.digest, five), lines(1, 2, 3), tip, "the house lacks 4 and 5: they are sent again")
    tip = exchange("healed", manifest(2, tip.digest, five), lines(1, 2, 3, 4, 5), tip, "the same closing, stated again")
    both = [*lines(1, 2, 3), OTHER, line(5)]
    exchange("another-in-place", manifest(3, tip.digest, five), both, tip, "another event stands in place 4: the house tells its lines")
    absent = block(lines(1, 2, 3, 5, 6), 1, 6, (4, 4))
    held = lines(1, 2, 3, 4, 5, 6)
    tip = exchange("with-absent", manifest(3, tip.digest, absent), held, tip, "of 4 the post knows nothing; the house leaves it out, too")
    first, digest = 1, LONG_AGO[1][1]
    old, new = ManifestBlock(first=first, last=1_000, digest=digest), block(lines(1_001, 1_002), 1_001, 1_002)
    another = old.model_copy(update={"digest": new.digest})
    said = manifest(4, tip.digest, another, new)
    exchange("pruned-another", said, lines(1_001, 1_002), tip, "the block that the house has archived was another one", LONG_AGO)
    said = manifest(4, tip.digest, old, new)
    tip = exchange("pruned", said, lines(1_001, 1_002), tip, "of an archived block the digests are compared", LONG_AGO)
    exchange("overtaken", manifest(2, tip.digest, five), held, tip, "the house is at 4: nothing is compared, and it says so")
    return told


def _data(said: Manifest | ManifestAnswer) -> dict[str, Any]:
    return said.model_dump(mode="json", exclude_none=True) | ({"closed_at": utc_text(said.closed_at)} if isinstance(said, Manifest) else {})


def _answer(said: Manifest, stated: bytes, held: Sequence[Line], archived: Archived, last: Agreed) -> ManifestAnswer:
    overtaken = said.number <= last.number
    found = tell(difference for stream in said.streams if not overtaken for difference in compare(stream, held, archived))
    return ManifestAnswer(
        number=said.number,
        manifest=digest_text(digest_of(stated)),
        agreed=not overtaken and not found.differences,
        differences=found.differences,
        untold=found.untold,
        backup_horizon_seconds=86_400,
        last_number=last.number,
        last_digest=last.digest,
    )


def _said(raw: bytes, who: Identity, at: datetime) -> dict[str, str]:
    digest = digest_of(raw)
    return {"text": raw.decode(), "digest": digest_text(digest), "jws": sign([digest], who, at)}


def _chains() -> list[dict[str, Any]]:
    def case(name: str, closings: Sequence[str], breaks_at: int | None, why: str) -> dict[str, Any]:
        return {"name": name, "why": why, "closings": closings, "expected": {"holds": breaks_at is None, "breaks_at": breaks_at}}

    return [
        case("whole", ["first", "healed", "with-absent", "pruned"], None, "four closings, each naming the one before"),
        case("one-missing", ["first", "with-absent"], 3, "closing 2 is missing: 3 does not follow 1"),
        case("wrong-previous", ["first", "wrong-previous"], 2, "its previous is not the digest of the answer before"),
        case("beginning-missing", ["healed", "with-absent"], 2, "a chain begins at 1"),
        case("not-agreed", ["first", "lacking"], 2, "the house did not agree to it"),
    ]
