"""A daemon's own pair and whom it believes, taken up while it works."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from broker.freshness import Freshness
from broker.settings.model import KeyPair
from broker.trust.anchors import TrustStore
from broker.trust.authority import Authority, create_authority
from broker.trust.keys import Identity, fitting_certificate, make_key, request
from schemas.errors import SettingsError
from schemas.names import Party

POST = Party("tj", "panji-poyon")


@dataclass
class Daemon:
    """What a daemon has: a pair, and what it was told to sign with."""

    authority: Authority
    pair: KeyPair
    taken: list[Identity] = field(default_factory=list)

    def __post_init__(self) -> None:
        trust = TrustStore({"tj": self.authority.anchor}, {"tj": self.authority.crl.parent})
        signing = Identity.load(self.pair.key, self.pair.certificate)
        self.fresh = Freshness(trust, signing, self.pair, self.taken.append)

    def look(self) -> list[Identity]:
        self.fresh.look()
        return self.taken


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    authority = create_authority(tmp_path, "tj")
    return Daemon(authority, authority.create_unit(POST))


def test_a_renewed_pair_is_taken_up_once(daemon: Daemon) -> None:
    before = Identity.load(daemon.pair.key, daemon.pair.certificate).fingerprint
    assert daemon.look() == []
    daemon.authority.renew_unit(POST)
    (renewed,) = daemon.look()
    assert renewed.fingerprint != before
    assert len(daemon.look()) == 1


def test_a_pair_replaced_while_the_daemon_started_is_seen_at_the_first_look(daemon: Daemon) -> None:
    daemon.authority.renew_unit(POST)  # between reading the pair and the first look
    assert len(daemon.look()) == 1


def test_a_renewal_half_done_changes_nothing_until_it_is_whole(daemon: Daemon, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.key"
    make_key(fresh)
    certificate = daemon.authority.issue_unit(POST, request(fresh, "x"))
    fresh.replace(daemon.pair.key)  # the key is there, its certificate comes later
    assert daemon.look() == []
    daemon.pair.certificate.write_bytes(certificate)
    (renewed,) = daemon.look()
    assert renewed.key.public_key() == Identity.load(daemon.pair.key, daemon.pair.certificate).key.public_key()


def test_another_units_pair_is_never_taken_up(daemon: Daemon) -> None:
    other = daemon.authority.create_unit(Party("tj", "ishkoshim"))
    other.key.replace(daemon.pair.key)
    other.certificate.replace(daemon.pair.certificate)
    assert daemon.look() == []


def test_connections_find_the_certificate_that_fits_also_in_the_middle_of_a_renewal(daemon: Daemon, tmp_path: Path) -> None:
    assert fitting_certificate(daemon.pair) == daemon.pair.certificate
    fresh = tmp_path / "fresh.key"
    make_key(fresh)
    new = daemon.pair.certificate.with_name(daemon.pair.certificate.name + ".new")
    new.write_bytes(daemon.authority.issue_unit(POST, request(fresh, "x")))
    fresh.replace(daemon.pair.key)
    assert fitting_certificate(daemon.pair) == new
    new.unlink()
    with pytest.raises(SettingsError, match="key-mismatch"):
        fitting_certificate(daemon.pair)
