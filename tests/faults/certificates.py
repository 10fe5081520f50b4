"""Faults of certificates in the middle of the work: the post's key is renewed, runs out, is stolen and revoked."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from broker.settings.model import Post
from broker.trust.keys import make_key, read_certificates, replace_pair
from schemas.names import Party
from tests.faults.fault import HOUSE, POST, Breach, Control, Fault
from tests.faults.scene import Scene
from tests.unit.trust.certificates import Pair, make

CRL_SECONDS = 5.0  # within so many is a revocation known everywhere: over the frontier, on a line that stands


def _renewed(scene: Scene) -> None:
    """Renewed, and each time the one before is revoked a moment later: whoever still signed with it would not be believed."""
    for _ in scene.times(1, 3, 20):
        before = _serial(scene)
        _renew(scene)
        scene.go_on(2, 3)
        _revoke(scene, before)
        scene.go_on(2, 3)


def _expires(scene: Scene) -> None:
    """It runs out under a partner without tolerance; the post signs nothing until it has another."""
    scene.edit(scene.receiver, 'environment = "test"\n', 'environment = "test"\nclock_tolerance_seconds = 0\n')
    try:
        scene.restart(HOUSE)
        _renew(scene, seconds=6)
        scene.go_on(6)
        scene.go_on(3, 6, 60)
        _renew(scene)
    finally:
        scene.edit(scene.receiver, "clock_tolerance_seconds = 0\n", "")
        scene.restart(HOUSE)


def _stolen(scene: Scene) -> None:
    """Revoked while the post goes on signing with it, as a thief would; then the post gets another key, and sends all of it again."""
    stolen = _post(scene)
    fingerprint = _fingerprint(scene)
    _revoke(scene, _serial(scene))
    time.sleep(CRL_SECONDS)
    known_at = datetime.now(UTC)
    scene.go_on(3, 6, 60)
    with scene.admin() as connection:
        query = """SELECT count(*) FROM inbox JOIN evidence USING (bundle_digest)
                   WHERE evidence.fingerprint = %s AND inbox.received_at_utc > %s"""
        row = connection.execute(query, (fingerprint, known_at)).fetchone()
        assert row is not None
        scene.measure("loaded with the revoked key", row[0], 0)
    _renew(scene)
    assert _post(scene) == stolen  # the files have the same names, and other keys in them


def _post(scene: Scene) -> Post:
    return scene.sender.settings.posts[scene.ways[0].post]


def _serial(scene: Scene) -> str:
    return f"{read_certificates(_post(scene).certificate)[0].serial_number:x}"


def _fingerprint(scene: Scene) -> str:
    serial = _serial(scene)
    return next(each.fingerprint for each in scene.sender.authority.register.issued if each.serial == serial)


def _revoke(scene: Scene, serial: str) -> None:
    """As an operator does it: the new CRL crosses by itself."""
    scene.panj(scene.sender, "pki", "revoke", serial, "--pki", str(scene.sender.directory / "pki"))


def _renew(scene: Scene, seconds: float | None = None) -> None:
    """Give the struck post a new pair, by its authority; one that is to run out within seconds is made by hand."""
    party = Party(scene.sender.plan.country, scene.ways[0].post)
    authority, pair = scene.sender.authority, _post(scene)
    if seconds is None:
        authority.renew_unit(party)
        return
    new = pair.key.with_name(pair.key.name + ".new")
    new.unlink(missing_ok=True)
    key = make_key(new)
    issuer = Pair(authority._key, authority._certificate)
    now = datetime.now(UTC)
    made = make(party.unit, issuer, uris=[party.urn], key=key, since=now - timedelta(hours=1), until=now + timedelta(seconds=seconds))
    replace_pair(pair.key, pair.certificate, made.pem)


FAULTS = (
    Fault(
        "certificate-renewed",
        "the post's key is renewed while events flow, and the old certificate revoked",
        _renewed,
        Control("the post goes on with the key that it began with", Breach.UNSETTLED, {POST: ("renewal",)}),
        short=True,
        soak=True,
    ),
    Fault(
        "certificate-expires",
        "the post's certificate runs out, and it is some time before it gets another",
        _expires,
        Control("it goes on signing, and sends nothing again", Breach.UNSETTLED, {POST: ("expiry", "resends")}),
    ),
    Fault(
        "certificate-stolen",
        "the post's certificate is revoked while it is signed with, then the post gets another",
        _stolen,
        Control("the house does not look at CRLs", Breach.OVER, {HOUSE: ("crls",)}),
        soak=True,
    ),
)
