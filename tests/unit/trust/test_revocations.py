"""By which CRLs a chain was judged, and what the newest ones say of it later: what evidence and the review after a theft rest on."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from broker.trust.crls import Crl
from broker.trust.signing import sign, verify
from schemas.errors import DistrustError
from tests.unit.trust.certificates import NOW, crl, identity, leaf, make, root, trust_in

ROOT = root()
MIDDLE = make("posts", ROOT, ca=True)
LEAF, DEEP = leaf(ROOT), leaf(MIDDLE)
DIGEST = hashlib.sha256(b"event").digest()


def test_a_signature_tells_the_lists_that_its_chain_was_judged_by(tmp_path: Path) -> None:
    trust = trust_in(tmp_path, tj=ROOT)
    who = identity(DEEP, MIDDLE)
    jws = sign([DIGEST], who, NOW)
    assert verify(jws, [DIGEST], trust, NOW).crls == ()
    first, second = crl(MIDDLE, 3), crl(ROOT, 8)
    for name, der in (("middle.crl", first), ("root.crl", second)):
        (tmp_path / "tj" / name).write_bytes(der)
    assert trust.reload()
    found = verify(jws, [DIGEST], trust, NOW).crls
    assert [(each.number, each.der) for each in found] == [(3, first), (8, second)]
    assert [each.digest for each in found] == [hashlib.sha256(first).digest(), hashlib.sha256(second).digest()]
    assert trust.crls_over("tj", who.x5c) == found
    assert trust.crls_over("af", who.x5c) == ()


def test_a_list_in_pem_is_kept_as_its_der(tmp_path: Path) -> None:
    der = crl(ROOT, 4)
    pem = x509.load_der_x509_crl(der).public_bytes(serialization.Encoding.PEM)
    assert Crl.parse(pem).der == der
    assert Crl.parse(pem).digest == Crl.parse(der).digest
    assert Crl.parse(der).issuer == "CN=root"


def test_the_newest_lists_tell_since_when_any_certificate_of_a_chain_is_revoked(tmp_path: Path) -> None:
    trust = trust_in(tmp_path, tj=ROOT)
    who = identity(DEEP, MIDDLE)
    (tmp_path / "tj/root.crl").write_bytes(crl(ROOT, 8, [MIDDLE.certificate.serial_number], since=NOW))
    (tmp_path / "tj/middle.crl").write_bytes(crl(MIDDLE, 3))
    trust.reload()
    revocation = trust.revocation("tj", who.x5c)
    assert revocation is not None
    assert (revocation.since_utc, revocation.crl.number, revocation.serial) == (NOW, 8, f"{MIDDLE.certificate.serial_number:x}")
    assert trust.revocation("tj", identity(LEAF).x5c) is None
    earlier = crl(MIDDLE, 4, [DEEP.certificate.serial_number], since=NOW + timedelta(days=1), lost=NOW - timedelta(days=2))
    (tmp_path / "tj/middle.crl").write_bytes(earlier)
    trust.reload()
    revocation = trust.revocation("tj", who.x5c)
    assert revocation is not None
    assert (revocation.since_utc, revocation.crl.number) == (NOW - timedelta(days=2), 4)
    with pytest.raises(DistrustError):
        trust.revocation("tj", ["rubbish"])
