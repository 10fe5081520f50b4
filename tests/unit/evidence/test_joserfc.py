"""An independent library agrees: joserfc verifies every signature in an evidence file, from the JSON alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from joserfc import jws as jose
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey

from tests.unit.evidence.cases import Crossing
from tests.unit.trust.test_joserfc import registry

CROSSING = Crossing()
FILES = {"post": CROSSING.file(CROSSING.of_post()), "house": CROSSING.file(CROSSING.of_house())}


def signed(document: dict[str, Any]) -> Iterator[tuple[bytes, str]]:
    """Every piece of bytes in a file that somebody signed, and the signature."""
    yield json.dumps(document["account"], separators=(",", ":")).encode(), document["seal"]
    for entry in document["account"]["events"]:
        for statement in (entry["event"], entry["receipt"], entry["closing"]["manifest"], entry["closing"]["answer"]):
            yield base64.b64decode(statement["raw"]), statement["jws"]


def verified(token: str) -> list[str]:
    """The digests that a signature is over, by joserfc and the certificate that the signature brings."""
    header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    key = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0])).public_key()
    public = ECKey.import_key(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    found = jose.deserialize_compact(token, public, registry=registry(), payload=b"")
    digests: list[str] = found.protected["sigD"]["hashV"]
    return digests


@pytest.mark.parametrize("side", FILES)
def test_joserfc_verifies_every_signature_of_a_file(side: str) -> None:
    pieces = list(signed(json.loads(FILES[side])))
    assert len(pieces) == 5
    for content, token in pieces:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert digest in verified(token)


def test_joserfc_refuses_a_signature_under_another_header() -> None:
    (_, first), (_, second), *_ = signed(json.loads(FILES["post"]))
    with pytest.raises(BadSignatureError):
        verified(f"{first.partition('.')[0]}..{second.rpartition('.')[2]}")
