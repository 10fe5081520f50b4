"""Bundles whose signers must not be believed, brought by whoever holds the partner's broker, to a house and to a post that run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

from broker.bundle.pack import Route
from broker.ports import Message
from broker.trust.keys import Identity
from schemas.event import digest_of
from schemas.names import EventType, Party, house_of
from tests.acceptance.world import wait_for
from tests.attacks.chains import Maker
from tests.attacks.live.ground import Ground, replace_file
from tests.attacks.live.walking import Try, walk
from tests.attacks.opening import changes, company, content, signatures
from tests.attacks.opening.corpus import honest_corpus
from tests.attacks.rows import Row
from tests.integration.consumers.frontier import Post, declaration
from tests.unit.bundle.senders import signed_anyhow
from tests.unit.trust.certificates import header_of, root, signed

FAMILY = "trust"
EXPORT = EventType.EXPORT_DECLARATION.value
POST = Party("tj", "panji-poyon")
GHOST = Party("tj", "ghost")  # a post that is none: a true one would notice that somebody is believed in its name, and stop
CHANGES = (
    *(changes.body_bits, changes.body_pieces, changes.gzip_tricks, changes.header_values, changes.jws_characters, changes.jws_bits),
    *(company.moved, company.dropped, company.reordered, company.under_another_signature, company.digests_put_right),
    *(signatures.other_algorithms, signatures.keys_that_come_along, signatures.spelled_otherwise, content.bombs),
)


def attack_trust(ground: Ground, times: int, seed: int) -> Iterator[Row]:
    """A row for each kind of signer, one for changed bundles, and the control: a house that pins the forger's authority lets him in."""
    seen = _control(ground)
    tries = [*_chains(ground, times), _speaks_for_another(ground, times), _wrong_country(ground, times), _revoked(ground, times)]
    tries.append(_changed(ground, times * 100, seed))
    yield from ground.rows_after(FAMILY, tries, seen)


def _message(signer: Identity, source: Party, number: str) -> tuple[Message, bytes]:
    """One export declaration under this signature, and its digest."""
    raw = Post(source, signer).event(declaration(number))
    jws = signed(header_of([digest_of(raw)], signer), signer.key)
    return signed_anyhow([raw], Route(source, house_of("af"), EXPORT), jws=jws), digest_of(raw)


def _bring(ground: Ground, one: Try, signer: Identity, source: Party = POST, times: int = 1) -> None:
    with ground.operator(ground.tj, "af") as operator:
        for _ in range(times):
            message, digest = _message(signer, source, f"FORGED-{one.name[:10]}-{one.tries}".replace(" ", "-").replace(":", ""))
            one.tries += operator.publish([message])
            one.digests.add(digest)


def _control(ground: Ground) -> bool:
    """Pin a forger's authority in the house of af for a moment: his declaration must be seen to get in."""
    forger = root("forger", since=datetime(2020, 1, 1, tzinfo=UTC), until=datetime(2040, 1, 1, tzinfo=UTC))
    maker = Maker(forger, forger, GHOST, datetime.now(UTC))
    place = ground.af.directory / "trust" / "tj" / "anchor.pem"
    honest = place.read_bytes()
    with ground.told("af-customs", "anchor.taken"):
        replace_file(place, forger.pem)
    one = Try("control")
    _bring(ground, one, maker.rightful(), GHOST)
    query = "SELECT count(*) FROM declaration WHERE registration_number LIKE 'FORGED-control%'"
    wait_for("the forger gets in", lambda: ground.world.rows(ground.af, query) == [(1,)])
    walk(ground.world, [one], ground.excused)
    ground.excused |= one.digests
    with ground.told("af-customs", "anchor.taken"):
        replace_file(place, honest)
    return bool(one.wrongs)


def _chains(ground: Ground, times: int) -> Iterator[Try]:
    maker = Maker(ground.authority(ground.tj), ground.authority(ground.af), POST, datetime.now(UTC))
    for chain in maker.chains():
        one = Try(chain.name)
        _bring(ground, one, chain.signer, times=times)
        yield one


def _speaks_for_another(ground: Ground, times: int) -> Try:
    """Every unit of both countries signs, with its own key, what Panji Poyon is said to declare."""
    one = Try("units that sign for another, with their own good keys")
    for side, names in ((ground.tj, ("ishkoshim", "customs")), (ground.af, ("sher-khan-bandar", "eshkashim", "customs"))):
        for name in names:
            _bring(ground, one, ground.identity(side, name), times=times)
    return one


def _wrong_country(ground: Ground, times: int) -> Try:
    """A post of af declares to its own house, through the lane of tj."""
    one = Try("a post of the own country through the partner's lane")
    signer, source = ground.identity(ground.af, "sher-khan-bandar"), Party("af", "sher-khan-bandar")
    with ground.operator(ground.af, "tj") as operator:
        for _ in range(times):
            message, digest = _message(signer, source, f"LANE-{one.tries}")
            one.tries += operator.publish([message], "inbound")
            one.digests.add(digest)
    return one


def _revoked(ground: Ground, times: int) -> Try:
    """A post that was revoked: with the new CRL, with the old one put back, and with the file gone."""
    former = Party("tj", "former")
    pair = ground.tj.authority.create_unit(former)
    signer = Identity.load(pair.key, pair.certificate)
    old = ground.tj.authority.crl.read_bytes()
    serial = next(each.serial for each in ground.tj.authority.register.issued if each.urn == former.urn)
    ground.tj.authority.revoke(serial)
    place = ground.af.directory / "trust" / "tj" / "crls" / "tj.crl"
    with ground.told("af-customs", "crl.taken"):
        replace_file(place, ground.tj.authority.crl.read_bytes())
    one = Try("a revoked post: before and after the old CRL is put back, and without one")
    _bring(ground, one, signer, former, times)
    with ground.told("af-customs", "crl.rollback_ignored"):
        replace_file(place, old)
        for received in place.parent.glob("received-*"):  # the own house has told its posts of it, and they keep it here
            received.unlink()
    _bring(ground, one, signer, former, times)
    with ground.told("af-customs", "crl.rollback_ignored"):
        place.unlink()
    _bring(ground, one, signer, former, times)
    replace_file(place, ground.tj.authority.crl.read_bytes())
    return one


def _changed(ground: Ground, count: int, seed: int) -> Try:
    """Bundles changed in every way, over the line: what the opening code refuses in memory it refuses there."""
    one = Try("changed bundles of every kind, over the line")
    corpus, random = honest_corpus(), Random(f"{seed} live")
    messages = []
    for _ in range(count):
        door, message = random.choice(CHANGES)(random, corpus)
        headers = {name: value for name, value in message.headers.items() if value is not None and not _unsendable(value)}
        if door == "record" and len(message.body) < 1_000_000:
            messages.append(replace(message, headers=headers, content_encoding=message.content_encoding or None))
    with ground.operator(ground.tj, "af") as operator:
        one.tries = operator.publish(messages)
    return one


def _unsendable(value: object) -> bool:
    return isinstance(value, str) and (not value.isprintable() or len(value) > 110_000 or "\ud800" in value)
