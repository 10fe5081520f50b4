"""An independent library agrees: joserfc verifies what we sign, and we verify what it signed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws as jose
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey
from joserfc.registry import HeaderParameter

from broker.trust.signing import sign, verify
from tests.unit.trust.certificates import NOW, URN, header_of, identity, leaf, root, trust_in

ROOT = root("root of tj")
LEAF = leaf(ROOT)
ME = identity(LEAF)
digests = st.lists(st.binary(max_size=9), min_size=1, max_size=500).map(lambda many: [hashlib.sha256(each).digest() for each in many])


def is_object(value: object) -> None:
    assert isinstance(value, dict)


def registry() -> jose.JWSRegistry:
    found = jose.JWSRegistry(
        {"sigD": HeaderParameter("JAdES sigD", is_object), "iat": HeaderParameter("Issued at", "int")}, algorithms=["ES256"]
    )
    found.max_header_length = 100_000
    return found


def public_key() -> ECKey:
    return ECKey.import_key(
        LEAF.certificate.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@settings(max_examples=25, deadline=None)
@given(digests)
def test_joserfc_verifies_what_we_sign(many: list[bytes]) -> None:
    found = jose.deserialize_compact(sign(many, ME, NOW), public_key(), registry=registry(), payload=b"")
    assert found.protected == header_of(many, ME)


def test_joserfc_refuses_what_was_changed() -> None:
    _, _, signature = sign([b"\0" * 32], ME, NOW).split(".")
    other = sign([b"\1" * 32], ME, NOW).split(".")[0]
    with pytest.raises(BadSignatureError):
        jose.deserialize_compact(f"{other}..{signature}", public_key(), registry=registry(), payload=b"")


def test_we_verify_what_joserfc_signed(tmp_path: Path) -> None:
    trust = trust_in(tmp_path, tj=ROOT)
    private = ECKey.import_key(
        ME.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    for count in (1, 2, 100, 500):
        many = [hashlib.sha256(str(number).encode()).digest() for number in range(count)]
        jws = jose.serialize_compact(header_of(many, ME), b"", private, registry=registry())
        assert verify(jws, many, trust, NOW).urn == URN
