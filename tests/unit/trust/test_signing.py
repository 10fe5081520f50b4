"""Signatures: every rule of the profile with its code, and the limits just past."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity
from broker.trust.signing import sign, unb64url, verify
from schemas.errors import DistrustError, UsageError
from tests.unit.trust.certificates import NOW, URN, Pair, Spoil, header_of, identity, leaf, make, root, signed, trust_in

ROOT = root("root of tj")
LEAF = leaf(ROOT)
ME = identity(LEAF)
DIGESTS = [hashlib.sha256(bytes([number])).digest() for number in range(3)]


@pytest.fixture
def trust(tmp_path: Path) -> TrustStore:
    return trust_in(tmp_path, tj=ROOT)


def refusal(trust: TrustStore, jws: str, digests: list[bytes] | None = None) -> str:
    with pytest.raises(DistrustError) as caught:
        verify(jws, DIGESTS if digests is None else digests, trust, NOW)
    return caught.value.code


def spoiled(spoil: Spoil, end: Pair = LEAF) -> str:
    header = header_of(DIGESTS, ME)
    spoil(header)
    return signed(header, end.key)


def test_what_we_sign_we_verify(trust: TrustStore) -> None:
    jws = sign(DIGESTS, ME, NOW)
    signatory = verify(jws, DIGESTS, trust, NOW)
    assert (signatory.urn, signatory.country, signatory.signed_at_utc) == (URN, "tj", NOW)
    assert signatory.fingerprint == ME.fingerprint
    assert jws.split(".")[1] == ""


def test_a_partners_header_in_another_order_and_spacing_is_taken(trust: TrustStore) -> None:
    header = dict(reversed(header_of(DIGESTS, ME).items())) | {"kid": "x", "typ": "jose"}
    header["crit"] = ["b64", "sigD"]
    assert verify(signed(json.dumps(header, indent=2).encode(), ME.key), DIGESTS, trust, NOW).urn == URN


def test_a_chain_with_two_intermediates_travels(trust: TrustStore) -> None:
    one = make("one", ROOT, ca=True)
    two = make("two", one, ca=True)
    assert verify(sign(DIGESTS, identity(leaf(two), two, one), NOW), DIGESTS, trust, NOW).urn == URN


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda header: header.update(alg="none"), "jws-algorithm"),
        (lambda header: header.update(alg="ES384"), "jws-algorithm"),
        (lambda header: header.update(alg="HS256"), "jws-algorithm"),
        (lambda header: header.pop("alg"), "jws-algorithm"),
        (lambda header: header.update(alg=["ES256"]), "jws-algorithm"),
        (lambda header: header.update(jwk={"kty": "EC"}), "jws-forbidden"),
        (lambda header: header.update(jku="https://example.tj/keys"), "jws-forbidden"),
        (lambda header: header.update(x5u="https://example.tj/chain"), "jws-forbidden"),
        (lambda header: header.update(jwk=None), "jws-forbidden"),
        (lambda header: header.update(crit=["sigD", "b64", "exp"]), "jws-critical"),
        (lambda header: header.update(crit=["sigD"]), "jws-critical"),
        (lambda header: header.update(crit=["b64", "b64"]), "jws-critical"),
        (lambda header: header.update(crit="sigD b64"), "jws-critical"),
        (lambda header: header.update(crit=[]), "jws-critical"),
        (lambda header: header.pop("crit"), "jws-critical"),
        (lambda header: header.update(b64=True), "jws-critical"),
        (lambda header: header.update(b64=0), "jws-critical"),
        (lambda header: header.pop("b64"), "jws-critical"),
        (lambda header: header.pop("iat"), "jws-header"),
        (lambda header: header.update(iat="2026"), "jws-header"),
        (lambda header: header.update(iat=True), "jws-header"),
        (lambda header: header.update(iat=-1), "jws-header"),
        (lambda header: header.update(iat=253_402_300_800), "jws-header"),
        (lambda header: header.pop("x5c"), "jws-header"),
        (lambda header: header.update(x5c="MII"), "jws-header"),
        (lambda header: header.update(x5c=[1]), "jws-header"),
        (lambda header: header.update(x5c=[]), "trust-chain-length"),
        (lambda header: header.update(x5c=header["x5c"] * 4), "trust-chain-length"),
        (lambda header: header.pop("sigD"), "jws-header"),
        (lambda header: header.update(sigD=[]), "jws-header"),
        (lambda header: header["sigD"].pop("mId"), "jws-header"),
        (lambda header: header["sigD"].update(mId="http://uri.etsi.org/19182/ObjectIdByURI"), "jws-header"),
        (lambda header: header["sigD"].update(hashM="S512"), "jws-header"),
        (lambda header: header["sigD"].pop("pars"), "jws-digests"),
        (lambda header: header["sigD"]["pars"].append("4"), "jws-digests"),
        (lambda header: header["sigD"]["pars"].reverse(), "jws-digests"),
        (lambda header: header["sigD"].update(pars=[1, 2, 3]), "jws-digests"),
        (lambda header: header["sigD"].pop("hashV"), "jws-digests"),
        (lambda header: header["sigD"]["hashV"].pop(), "jws-digests"),
        (lambda header: header["sigD"]["hashV"].append(header["sigD"]["hashV"][0]), "jws-digests"),
        (lambda header: header["sigD"]["hashV"].reverse(), "jws-digests"),
        (lambda header: header["sigD"].update(hashV=[each + "=" for each in header["sigD"]["hashV"]]), "jws-digests"),
    ],
)
def test_a_header_outside_the_profile_is_refused_although_it_is_rightly_signed(trust: TrustStore, spoil: Spoil, code: str) -> None:
    assert refusal(trust, spoiled(spoil)) == code


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b'{"alg":"ES256","alg":"ES256"}', b"\xef\xbb\xbf{}", b"\xff", b'{"iat":NaN}', b"[" * 90_000]
)
def test_a_header_that_is_not_strict_json_is_refused(trust: TrustStore, raw: bytes) -> None:
    assert refusal(trust, signed(raw, ME.key)) in ("jws-header", "jws-too-long")


def test_a_header_with_a_key_twice_is_refused(trust: TrustStore) -> None:
    text = json.dumps(header_of(DIGESTS, ME))
    assert refusal(trust, signed(('{"alg":"ES256",' + text[1:]).encode(), ME.key)) == "jws-header"


def test_only_three_parts_with_a_detached_payload_are_a_signature(trust: TrustStore) -> None:
    protected, _, signature = sign(DIGESTS, ME, NOW).split(".")
    for jws in (
        "",
        ".",
        "..",
        f"{protected}.{signature}",
        f"{protected}...{signature}",
        f"{protected}..",
        f"{protected}..{signature}.",
        "é..é",
    ):
        assert refusal(trust, jws) in ("jws-form", "jws-header")
    assert refusal(trust, signed(header_of(DIGESTS, ME), ME.key, payload="e30")) == "jws-form"


def test_base64url_must_be_the_one_that_encoding_gives(trust: TrustStore) -> None:
    protected, _, signature = sign(DIGESTS, ME, NOW).split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = signature[:-1] + last[last.index(signature[-1]) ^ 1]
    assert unb64url(signature)
    for jws in (
        f"{protected}..{other}",
        f"{protected}..{signature}==",
        f"{protected}..{signature[:9]} {signature[9:]}",
        f"{protected}\n..{signature}",
    ):
        assert refusal(trust, jws) == "jws-form"


def test_a_signature_of_another_length_is_refused(trust: TrustStore) -> None:
    assert refusal(trust, spoiled(lambda header: None, Pair(ec.generate_private_key(ec.SECP384R1()), LEAF.certificate))) == "jws-form"
    protected = sign(DIGESTS, ME, NOW).split(".")[0]
    assert refusal(trust, f"{protected}..{'A' * 84}") == "jws-form"


def test_zeros_for_a_signature_are_refused(trust: TrustStore) -> None:
    protected = sign(DIGESTS, ME, NOW).split(".")[0]
    assert refusal(trust, f"{protected}..{'A' * 86}") == "jws-signature"


def test_another_key_than_the_certificates_is_refused(trust: TrustStore) -> None:
    assert refusal(trust, spoiled(lambda header: None, leaf(ROOT))) == "jws-signature"


def test_a_signature_over_other_digests_is_refused(trust: TrustStore) -> None:
    jws = sign(DIGESTS, ME, NOW)
    for digests in (DIGESTS[:2], [*DIGESTS, DIGESTS[0]], [DIGESTS[1], DIGESTS[0], DIGESTS[2]], []):
        assert refusal(trust, jws, digests) == "jws-digests"


def test_a_header_changed_after_signing_is_refused(trust: TrustStore) -> None:
    ours, theirs = sign(DIGESTS, ME, NOW), sign(DIGESTS, ME, NOW + timedelta(seconds=1))
    assert refusal(trust, theirs.split(".")[0] + ".." + ours.split(".")[2]) == "jws-signature"


def test_five_hundred_events_with_the_longest_chain_fit_one_header(trust: TrustStore) -> None:
    one = make("one", ROOT, ca=True)
    two = make("two", one, ca=True)
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(500)]
    jws = sign(digests, identity(leaf(two), two, one), NOW)
    assert len(jws) < 100_000
    assert verify(jws, digests, trust, NOW).urn == URN


@pytest.mark.parametrize("count", [0, 501])
def test_no_event_or_more_than_five_hundred_are_not_signed(count: int) -> None:
    with pytest.raises(UsageError) as caught:
        sign([b"\0" * 32] * count, ME, NOW)
    assert caught.value.code == "bundle-count"


def test_a_header_longer_than_the_limit_is_neither_made_nor_read(trust: TrustStore) -> None:
    header = header_of(DIGESTS, ME)
    header["note"] = "x" * 75_000
    assert refusal(trust, signed(header, ME.key)) == "jws-too-long"
    fat = Identity(ME.urn, ME.key, (ME.x5c[0] * 200,), ME.not_before_utc, ME.not_after_utc, ME.fingerprint)
    with pytest.raises(UsageError) as caught:
        sign(DIGESTS, fat, NOW)
    assert caught.value.code == "jws-too-long"


def test_the_country_may_be_asked_for(trust: TrustStore) -> None:
    jws = sign(DIGESTS, ME, NOW)
    assert verify(jws, DIGESTS, trust, NOW, "tj").urn == URN
    with pytest.raises(DistrustError) as caught:
        verify(jws, DIGESTS, trust, NOW, "af")
    assert caught.value.code == "trust-country-mismatch"
