"""What came before, comes again with other content, or is said in another's name: by whoever holds the key of a post. Into real records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from sqlalchemy import text

from broker.ports import Message
from schemas.event import digest_of, event_bytes, new_id
from schemas.fates import Fate
from tests.attacks.inbox.house import House, new_house
from tests.attacks.quiet import quieten
from tests.attacks.rows import Row, named
from tests.integration.consumers.frontier import CROSSING, Post, crossing, declaration, subject_of

FAMILY = "inbox"
Attack = Callable[[House, Post, Random, int], tuple[int, list[str]]]


def attack_records(times: int, seed: int) -> Iterator[Row]:
    """A row for each attack, each on a house of its own."""
    quieten()
    seen = _control()
    for attack in (
        _replays,
        _id_again,
        _place_again,
        _anothers_id,
        _anothers_administration,
        _version_again,
        _after_pruning,
        _instants,
        _control_events,
    ):
        with new_house() as house:
            tries, wrongs = attack(house, house.frontier.new_post("panji-poyon"), Random(f"{seed} {attack.__name__}"), times)
            wrongs += house.wrongs()
            codes = ", ".join(f"{code} {count}" for code, count in sorted(house.parked_codes().items())[:4])
            note = f"loaded {house.count(Fate.LOADED)}, refused {house.count(Fate.REFUSED)}" + (f"; parked: {codes}" if codes else "")
        yield Row(FAMILY, named(attack), tries, len(wrongs), 0, seen, note, tuple(wrongs))


def _control() -> bool:
    """The check of the records sees a byte changed in the inbox, a row that no event explains, and an event that nobody signed."""
    seen = []
    for spoil in (
        "UPDATE inbox SET raw = CAST(raw || ' ' AS BLOB)",
        "UPDATE declaration SET reference = reference || 'x'",
        "UPDATE inbox SET source = 'urn:customs:tj:ishkoshim'",
    ):
        with new_house() as house:
            post = house.frontier.new_post("panji-poyon")
            house.take([post.bundle([house.event(post, declaration(1))])])
            before = house.wrongs()
            with house.engine.begin() as connection:
                connection.execute(text(spoil))
            seen.append(not before and bool(house.wrongs()))
    return all(seen)


def _bundles(house: House, post: Post, count: int, first: int = 0) -> list[list[bytes]]:
    return [[house.event(post, declaration(first + 10 * number + each)) for each in range(10)] for number in range(count)]


def _replays(house: House, post: Post, random: Random, times: int) -> tuple[int, list[str]]:
    """Bundles sent again: whole, in pieces, in other company and order, old and new."""
    bundles = _bundles(house, post, 5)
    everything = [raw for bundle in bundles for raw in bundle]
    messages = [post.bundle(bundle) for bundle in bundles]
    house.take(messages)
    tries = 0
    for _ in range(times * 10):
        again: list[Message] = random.sample(messages, 3)
        again += [post.bundle(random.sample(everything, random.randrange(1, 20))) for _ in range(3)]
        again.append(post.bundle([random.choice(everything)] * 5))
        random.shuffle(again)
        house.take(again)
        tries += len(again)
    loaded = house.count(Fate.LOADED)
    return tries, [] if loaded == len(everything) else [f"{len(everything)} events are {loaded} in the records"]


def _id_again(house: House, post: Post, random: Random, times: int) -> tuple[int, list[str]]:
    """An id that is known, with other content: later, and in the same bundle."""
    tries, wrongs = 0, []
    for number in range(times * 3):
        first = house.event(post, declaration(f"a{number}"))
        other = _changed(house, post, first, sequence=100_000 + number)
        together = random.random() < 0.5
        house.take([post.bundle([first, other])] if together else [post.bundle([first]), post.bundle([other])])
        house.take([post.bundle([other])])
        wrongs += _unless_kept(house, first)
        tries += 2
    return tries, wrongs


def _place_again(house: House, post: Post, random: Random, times: int) -> tuple[int, list[str]]:
    """A place of a stream that is taken, with another event."""
    tries, wrongs = 0, []
    for number in range(times * 3):
        first = house.event(post, declaration(f"p{number}"))
        other = _changed(house, post, first, id=new_id())
        house.take([post.bundle([first, other])] if random.random() < 0.5 else [post.bundle([first]), post.bundle([other])])
        wrongs += _unless_kept(house, first)
        tries += 1
    loaded = house.count(Fate.LOADED)
    return tries, [*wrongs, *([] if loaded == tries else [f"{tries} places hold {loaded} events"])]


def _anothers_id(house: House, post: Post, random: Random, times: int) -> tuple[int, list[str]]:
    """Another post's id, sequence and epoch under one's own name: after it, before it, beside it."""
    thief = house.frontier.new_post("ishkoshim")
    tries, wrongs = 0, []
    for number in range(times * 3):
        mine = house.event(post, declaration(f"s{number}"))
        attributes = json.loads(mine)
        stolen = attributes | {
            "source": thief.party.urn,
            "data": declaration(f"t{number}"),
            "subject": subject_of(declaration(f"t{number}")),
        }
        theirs = event_bytes(stolen)
        house.signed[digest_of(theirs)] = thief.party.urn
        messages = [post.bundle([mine]), thief.bundle([theirs])]
        random.shuffle(messages)
        house.take(messages)
        tries += 1
        with house.engine.connect() as connection:
            sources = {
                row.source for row in connection.execute(text("SELECT source FROM inbox WHERE event_id = :id"), {"id": attributes["id"]})
            }
        wrongs += [] if len(sources) == 1 else [f"one id has {len(sources)} owners"]
    return tries, wrongs


def _anothers_administration(house: House, post: Post, random: Random, times: int) -> tuple[int, list[str]]:
    """A declaration of another administration, and subjects that are not the content's."""
    tries = 0
    for number in range(times * 3):
        data = declaration(f"n{number}", administration=random.choice(("af", "uz", "kg")))
        own = declaration(f"o{number}")
        spoiled = [
            house.event(post, data),
            house.event(post, data, subject=f"TJ/TJPNJ/2026/n{number}"),
            house.event(post, own, subject=random.choice(("TJ/TJPNJ/2026/other", "AF/X/2026/1", "../../etc/passwd", "TJ/TJPNJ/2026/"))),
        ]
        moved = crossing(f"c{number}", "arrived", f"o{number}", administration="af")
        house.take([post.bundle(spoiled), post.bundle([house.event(post, moved, CROSSING)], CROSSING)])
        tries += 4
    loaded = house.count(Fate.LOADED)
    return tries, [f"{loaded} of them were loaded"] if loaded else []


def _version_again(house: House, post: Post, random: Random, times: int) -> tuple[int, list[str]]:
    """A version that is kept, with other content: from the same post, another post, another epoch."""
    tries, wrongs = 0, []
    for number in range(times * 3):
        first = house.event(post, declaration(f"v{number}"))
        house.take([post.bundle([first])])
        liar = random.choice((post, house.frontier.new_post("ishkoshim"), house.frontier.new_post("panji-poyon")))
        other = house.event(liar, declaration(f"v{number}", exporter_name="Somebody else"))
        house.take([liar.bundle([other])])
        tries += 1
        with house.engine.connect() as connection:
            names = list(
                connection.execute(
                    text("SELECT exporter_name FROM declaration WHERE registration_number = :number"), {"number": f"v{number}"}
                ).scalars()
            )
        wrongs += [] if names == ["Bodom Export"] else [f"v{number} is kept as {names}"]
    return tries, wrongs


def _prune(house: House, last: int) -> None:
    """Have the house forget, as its retention does once both sides agreed: what is left is the mark of each stream."""
    with house.engine.begin() as connection:
        connection.execute(text("UPDATE stream SET pruned_to = :last"), {"last": last})
        connection.execute(text("DELETE FROM inbox WHERE sequence <= :last"), {"last": last})


def _after_pruning(house: House, post: Post, random: Random, times: int) -> tuple[int, list[str]]:
    """Events that the house has pruned, sent again; their ids and versions with other content, at new places."""
    bundles = _bundles(house, post, 5)
    everything = [raw for bundle in bundles for raw in bundle]
    house.take([post.bundle(bundle) for bundle in bundles])
    records = _records(house)
    _prune(house, len(everything))
    tries = 0
    for _ in range(times * 3):
        again = random.sample(everything, 10)
        others = [_changed(house, post, raw, sequence=10_000 + tries + number) for number, raw in enumerate(again)]
        versions = [house.event(post, json.loads(raw)["data"] | {"exporter_name": "Somebody else"}) for raw in again]
        house.take([post.bundle(again), post.bundle(again[:1]), post.bundle(others), post.bundle(versions)])
        tries += len(again) + len(others) + len(versions)
    wrongs = [] if _records(house) == records else ["the records are not what they were"]
    loaded = house.count(Fate.LOADED)
    wrongs += [f"{loaded} were loaded again"] if loaded else []
    with house.engine.begin() as connection:  # the records outlive the inbox: for the check that comes they are explained by the archive
        connection.execute(text("DELETE FROM declaration_item"))
        connection.execute(text("DELETE FROM declaration"))
    return tries, wrongs


def _records(house: House) -> list[tuple[Any, ...]]:
    with house.engine.connect() as connection:
        query = text("SELECT event_id, reference, version, exporter_name FROM declaration ORDER BY 1")
        return [tuple(row) for row in connection.execute(query)]


_INSTANTS = (
    *("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z", "0002-01-01T00:00:00+23:59", "9998-12-31T23:59:59-23:59"),
    *(
        "9999-12-31T23:59:59-23:59",
        "9999-12-31T23:59:59Z",
        "1990-01-01T00:00:00+23:59",
        "2199-12-31T23:59:59-23:59",
        "1989-12-31T23:59:59Z",
    ),
    *("2026-02-30T00:00:00Z", "2026-12-31T23:59:60Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00+24:00", "0000-01-01T00:00:00Z"),
    *("2026-01-01T00:00:00.1234567Z", "2026-01-01T00:00:00", "2026-01-01", "-2026-01-01T00:00:00Z", "10000-01-01T00:00:00Z"),
)


def _instants(house: House, post: Post, random: Random, times: int) -> tuple[int, list[str]]:
    """Instants at the ends of the calendar and of all time zones, in what is loaded and in the envelope."""
    tries = 0
    for number, instant in enumerate(_INSTANTS):
        events = [house.event(post, declaration(f"i{number}", accepted_at=instant, registered_on=instant[:10]))]
        events.append(house.event(post, declaration(f"j{number}"), time=instant[:19] + "Z"))
        moved = house.event(post, crossing(f"k{number}", "arrived", f"i{number}", occurred_at=instant), CROSSING)
        house.take([post.bundle(events), post.bundle([moved], CROSSING)])
        tries += 3
    surprised = house.count(Fate.HELD) + house.parked_codes().get("inbox-surprise", 0)
    return tries, [f"{surprised} surprised the loader"] if surprised else []


def _control_events(house: House, post: Post, random: Random, times: int) -> tuple[int, list[str]]:
    """Control events in the queue of declarations."""
    kinds = ("customs.beacon.v1", "customs.manifest.v1", "customs.withdrawal.v1", "customs.recovery.v1")
    tries = 0
    for _ in range(times * 2):
        kind = random.choice(kinds)
        raw = house.event(post, {"registration_number": "1", "administration": "tj", "office_code": "X", "registration_year": 2026}, kind)
        bare = {name: value for name, value in json.loads(raw).items() if name not in ("sequence", "epoch")}
        house.take([post.bundle([event_bytes(bare)], kind)])
        tries += 1
    known = house.count(Fate.LOADED) + house.count(Fate.REFUSED) + house.count(Fate.HELD)
    return tries, [f"{known} of them have a fate"] if known else []


def _changed(house: House, post: Post, raw: bytes, **changes: Any) -> bytes:
    """Another event with what was left of this one, signed by the same post."""
    attributes = json.loads(raw)
    data = attributes["data"] | {"exporter_name": "Somebody else", "registration_number": attributes["data"]["registration_number"] + "x"}
    changed = event_bytes(attributes | {"data": data, "subject": subject_of(data)} | changes)
    house.signed[digest_of(changed)] = post.party.urn
    return changed


def _unless_kept(house: House, raw: bytes) -> list[str]:
    """Complain unless these very bytes are what the inbox holds under their id."""
    with house.engine.connect() as connection:
        query = text("SELECT raw, fate FROM inbox WHERE event_id = :id")
        row = connection.execute(query, {"id": json.loads(raw)["id"]}).one()
    return [] if bytes(row.raw) == raw and row.fate == Fate.LOADED.value else ["the first content did not stand"]
