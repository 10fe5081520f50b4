"""Answers that nobody entitled gave: receipts, beacons, CRLs, closings, recoveries; to a post whose house is silent, and to the house."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.bundle.pack import Route, control_event
from broker.ports import Message
from broker.trust.crls import Crl
from broker.trust.keys import Identity
from broker.trust.signing import b64url
from schemas.event import digest_of, new_epoch, new_id
from schemas.names import EventType, Party, house_of
from tests.acceptance.world import wait_for
from tests.attacks.chains import Maker
from tests.attacks.live.ground import Ground
from tests.attacks.live.walking import Try, of_posts
from tests.attacks.rows import Row
from tests.unit.bundle.senders import signed_anyhow
from tests.unit.trust.certificates import crl, header_of, root, signed

FAMILY = "answers"
FORGED = 99  # the CRLNumber of a forged list
POST, HOUSE = Party("tj", "panji-poyon"), house_of("af")
_ROWS = "SELECT event_id, digest, settled_at_utc, fate, answered_fate FROM outbox ORDER BY position"
_BEACON = "SELECT destination, sent_mark, returned_mark FROM beacon"


@dataclass(frozen=True, slots=True)
class Liar:
    """Who answers: the key that signs, and the unit that the answer says to come from."""

    name: str
    signer: Identity
    source: Party = HOUSE


def attack_with_answers(ground: Ground, times: int) -> Iterator[Row]:
    """To a post whose events wait for the house, which is stopped; then the house comes back and answers."""
    ground.lab.daemons["af-customs"].terminate()
    references = [ground.declare(ground.tj, f"UNANSWERED-{number}") for number in range(4)]
    wait_for("they are relayed", lambda: len(_waiting(ground)) >= len(references))
    before = _state(ground)
    tries = [*_forged(ground, times), _by_the_house_itself(ground)]
    settled = [row for row in _state(ground) if row not in before]
    if settled:
        tries[0].wrongs.append(f"{len(settled)} rows of the outbox changed: {settled[:2]}")
    ahead = [row for row in of_posts(ground.tj, _BEACON) if row[2] > row[1]]
    if ahead:
        tries[-1].wrongs.append(f"a mark came home that was never sent: {ahead}")
    if any(Crl.parse(file.read_bytes()).number == FORGED for file in (ground.tj.directory / "trust" / "af" / "crls").glob("*.crl")):
        tries[2].wrongs.append("a forged CRL was kept")
    ground.lab.spawn_house(ground.af)
    wait_for("the true house settles them", lambda: not _waiting(ground), 120)
    seen = [row for row in _state(ground) if row not in before] != []
    tries.append(_contradicting(ground, times))
    tries += _to_the_house(ground, times)
    yield from ground.rows_after(FAMILY, tries, seen)


def _waiting(ground: Ground) -> list[tuple[Any, ...]]:
    query = "SELECT event_id, digest FROM outbox WHERE relayed_at_utc IS NOT NULL AND settled_at_utc IS NULL AND destination = :house"
    return of_posts(ground.tj, query, house=HOUSE.urn)


def _state(ground: Ground) -> list[tuple[Any, ...]]:
    return of_posts(ground.tj, _ROWS)


def _liars(ground: Ground) -> Iterator[Liar]:
    now = datetime.now(UTC)
    for chain in Maker(ground.authority(ground.af), ground.authority(ground.tj), HOUSE, now).chains():
        if chain.name != "the house's URN":
            yield Liar(chain.name, chain.signer)
    for side, names in ((ground.af, ("sher-khan-bandar", "eshkashim")), (ground.tj, ("customs", "ishkoshim", "panji-poyon"))):
        for name in names:
            signer = ground.identity(side, name)
            yield Liar(f"{name} of {side.plan.country}, as the house", signer)
            yield Liar(f"{name} of {side.plan.country}, in its own name", signer, Party(side.plan.country, name))


def _forged(ground: Ground, times: int) -> list[Try]:
    """Everybody says everything: each liar a receipt that would settle, a beacon, a CRL, a closing, a recovery."""
    tries = {kind: Try(f"{kind} by everybody but the house") for kind in ("receipts", "beacons", "CRLs", "closings", "recoveries")}
    messages: list[Message] = []
    for liar in _liars(ground):
        for kind, event_type, data in _said(ground):
            messages += [_message(liar, POST, event_type, data)] * times
            tries[kind].tries += times
    _deliver(ground, messages)
    return list(tries.values())


def _said(ground: Ground) -> list[tuple[str, EventType, dict[str, Any]]]:
    (mark,) = [row[1] for row in of_posts(ground.tj, _BEACON) if row[0] == HOUSE.urn][:1]
    waiting = _waiting(ground)
    stranger = root("stranger", since=datetime(2020, 1, 1, tzinfo=UTC), until=datetime(2040, 1, 1, tzinfo=UTC))
    listed = base64.b64encode(crl(stranger, FORGED, until=datetime.now(UTC) + timedelta(days=9))).decode()
    epoch = new_epoch()
    entry = {"type": "customs.export-declaration.v1", "epoch": epoch, "sequence": 1, "id": new_id(), "digest": b64url(bytes(32))}
    answered = {"number": 1, "manifest": b64url(bytes(32)), "agreed": True, "backup_horizon_seconds": 0}
    told = [{"type": "customs.export-declaration.v1", "epoch": epoch, "last": 1}]
    recovered = {"request": new_id(), "entries": [entry | {"reference": "TJ/PNJ/2026/1", "fate": "LOADED"}], "told": told, "left": 0}
    return [
        ("receipts", EventType.RECEIPT, {"answers": [_answer(row[0], bytes(row[1])) for row in waiting]}),
        ("receipts", EventType.RECEIPT, {"answers": [_answer(row[0], bytes(row[1]), "REFUSED") for row in waiting]}),
        ("beacons", EventType.BEACON, {"mark": mark, "sent_at": "2026-11-24T12:00:00Z", "returned_at": "2026-11-24T12:00:00Z"}),
        ("CRLs", EventType.CRL, {"crl_number": FORGED, "der": listed}),
        ("closings", EventType.MANIFEST_ANSWER, answered),
        ("closings", EventType.MANIFEST_REQUEST, {"reason": "because", "everything": True}),
        ("recoveries", EventType.RECOVERY_ANSWER, recovered),
    ]


def _answer(event_id: str, digest: bytes, fate: str = "LOADED") -> dict[str, Any]:
    problems = [] if fate == "LOADED" else [{"code": "rule-broken", "text": "no"}]
    return {"id": event_id, "digest": b64url(digest), "fate": fate, "problems": problems}


def _by_the_house_itself(ground: Ground) -> Try:
    """With the house's own key: other digests, ids that nobody knows, events of another destination, marks never sent, a stranger's CRL."""
    one = Try("the house's own key: other digests, unknown ids, another's events, marks never sent, a stranger's CRL")
    liar = Liar("the house", ground.identity(ground.af, "customs"))
    waiting = _waiting(ground)
    elsewhere = of_posts(ground.tj, "SELECT event_id, digest FROM outbox WHERE destination <> :house", house=HOUSE.urn)
    (_, _, beacon, listed, *_) = [data for _, _, data in _said(ground)][1:]
    for data in (
        {"answers": [_answer(row[0], bytes(32)) for row in waiting]},
        {"answers": [_answer(row[0], bytes(row[1])[:-1] + b"\0") for row in waiting]},
        {"answers": [_answer(new_id(), bytes(32), fate) for fate in ("LOADED", "REFUSED", "HELD") for _ in range(100)]},
        *([{"answers": [_answer(row[0], bytes(row[1])) for row in elsewhere]}] if elsewhere else []),
    ):
        _deliver(ground, [_message(liar, POST, EventType.RECEIPT, data)])
        one.tries += len(data["answers"])
    others = [
        _message(
            liar, POST, EventType.BEACON, {"mark": 2**53 - 1, "sent_at": "2026-11-24T12:00:00Z", "returned_at": "9998-01-01T00:00:00Z"}
        )
    ]
    others.append(_message(liar, POST, EventType.CRL, listed if "der" in listed else beacon))
    _deliver(ground, others)
    one.tries += len(others)
    return one


def _contradicting(ground: Ground, times: int) -> Try:
    """With the house's own key, for what it has answered: the other fate, other problems, held after all. The first answer stands."""
    one = Try("the house's own key: answers that contradict its first ones")
    liar = Liar("the house", ground.identity(ground.af, "customs"))
    settled = of_posts(ground.tj, "SELECT event_id, digest FROM outbox WHERE fate = 'LOADED' AND destination = :house", house=HOUSE.urn)
    before = _state(ground)
    answers = [_answer(row[0], bytes(row[1]), fate) for fate in ("REFUSED", "HELD", "REFUSED") for row in settled[:100]] * times
    for start in range(0, len(answers), 250):
        _deliver(ground, [_message(liar, POST, EventType.RECEIPT, {"answers": answers[start : start + 250]})])
    one.tries = len(answers)
    changed = [row for row in _state(ground) if row not in before]
    one.wrongs += [f"{len(changed)} rows changed their fate"] if changed else []
    return one


def _to_the_house(ground: Ground, times: int) -> list[Try]:
    """Withdrawals, closings, recoveries and beacons of a post's, said to the house by everybody else."""
    victim = of_posts(
        ground.tj,
        "SELECT event_id, digest, type, epoch, sequence, reference, version FROM outbox WHERE destination = :house",
        house=HOUSE.urn,
    )[0]
    event_id, digest, kind, epoch, sequence, reference, version = victim
    named = {"id": event_id, "digest": b64url(bytes(digest)), "type": kind, "epoch": epoch, "sequence": sequence, "reference": reference}
    said: list[tuple[EventType, dict[str, Any]]] = [
        (EventType.WITHDRAWAL, named | {"version": version, "reason": "it never was"}),
        (EventType.MANIFEST, {"number": 1, "closed_at": "2026-11-24T12:00:00Z", "streams": []}),
        (EventType.RECOVERY, {"known": []}),
        (EventType.BEACON, {"mark": 1, "sent_at": "2026-11-24T12:00:00Z"}),
    ]
    one = Try("withdrawals, closings, recoveries and beacons of a post, said by everybody else")
    before = ground.world.rows(ground.af, "SELECT event_id, fate FROM inbox WHERE fate <> 'LOADED'")
    maker = Maker(ground.authority(ground.tj), ground.authority(ground.af), POST, datetime.now(UTC))
    liars = [Liar(chain.name, chain.signer, POST) for chain in maker.chains()]
    liars += [
        Liar("another post", ground.identity(ground.tj, "ishkoshim"), POST),
        Liar("the house", ground.identity(ground.tj, "customs"), POST),
    ]
    messages = [_message(liar, HOUSE, event_type, data) for liar in liars for event_type, data in said] * times
    with ground.operator(ground.tj, "af") as operator:
        one.tries = operator.publish(messages)
    own = Try("another post withdraws this post's event, in its own name")
    thief = Liar("another post", ground.identity(ground.tj, "ishkoshim"), Party("tj", "ishkoshim"))
    with ground.operator(ground.tj, "af") as operator:
        own.tries = operator.publish([_message(thief, HOUSE, EventType.WITHDRAWAL, said[0][1])] * times)
    ground.probe()
    if ground.world.rows(ground.af, "SELECT event_id, fate FROM inbox WHERE fate <> 'LOADED'") != before:
        own.wrongs.append("an event lost its fate by another's withdrawal")
    return [one, own]


def _message(liar: Liar, to: Party, event_type: EventType, data: Mapping[str, Any]) -> Message:
    raw = control_event(
        event_type.value,
        liar.source,
        to,
        environment="test",
        purpose="exchange-control",
        legal_basis="protocol",
        subject="a forged answer",
        data=data,
        now=datetime.now(UTC),
    )
    jws = signed(header_of([digest_of(raw)], liar.signer), liar.signer.key)
    return signed_anyhow([raw], Route(liar.source, to, event_type.value), jws=jws)


def _deliver(ground: Ground, messages: Sequence[Message]) -> None:
    """Into the post's own queue, and until the post has dealt with each: parked, counted, or ignored."""
    with ground.operator(ground.tj, "af") as operator:
        operator.publish(messages, "inbound")
        wait_for("the post has taken them", lambda: operator.waiting(POST.unit) == 0)
    quiet = _dealt_with(ground)

    def settled_down() -> bool:
        nonlocal quiet
        was, quiet = quiet, _dealt_with(ground)
        return was == quiet

    wait_for("the post has dealt with them", settled_down)


def _dealt_with(ground: Ground) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    time.sleep(0.5)  # two looks at the same, so far apart
    return (
        of_posts(ground.tj, "SELECT sum(times) FROM parked_control"),
        of_posts(ground.tj, "SELECT what, sum(times) FROM receipt_counter GROUP BY what"),
    )
