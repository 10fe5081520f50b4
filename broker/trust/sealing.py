"""Encryption end to end: to a customs house's encryption certificate, and its reasons back under the key that came with the data.

JWE in compact form (RFC 7516): `ECDH-ES+A256KW` with `A256GCM` for data, `dir` with `A256GCM` for reasons, through jwcrypto. What is
encrypted stands in `broker.bundle.sealed`; who signs what is untouched by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jwcrypto import jwe, jwk
from jwcrypto.common import JWException
from pydantic import TypeAdapter, ValidationError

from broker.settings.model import House, Settings
from broker.trust.anchors import TrustStore
from broker.trust.keys import read_certificates, read_key
from broker.trust.signing import b64url, unb64url
from schemas.errors import ContentError, DistrustError, Problem, SettingsError, UnavailableError
from schemas.limits import PROBLEMS
from schemas.names import Party, house_of
from schemas.strict_json import parse

TO_HOUSE = ["ECDH-ES+A256KW", "A256GCM"]
TO_POST = ["dir", "A256GCM"]
_PROBLEMS = TypeAdapter(tuple[Problem, ...])


@dataclass(frozen=True, slots=True)
class Recipient:
    """A customs house to which data is encrypted: its URN, and its encryption key by its thumbprint (RFC 7638)."""

    urn: str
    key_id: str
    not_after_utc: datetime
    fingerprint: str
    key: jwk.JWK = field(repr=False)

    @classmethod
    def load(cls, certificate: Path, party: Party, trust: TrustStore, now_utc: datetime) -> Recipient:
        """Read the encryption certificate of a house and check it like any other of its country.

        SettingsError `encryption-certificate` where it is another's, has expired, is revoked, or its key may not agree on keys.
        """
        chain = read_certificates(certificate)
        try:
            speaker = trust.recipient(chain, party, now_utc)
        except DistrustError as error:
            text = f"data for {party.urn} cannot be encrypted to this certificate: {error}"
            raise SettingsError("encryption-certificate", text[:500], field=str(certificate)) from None
        key = jwk.JWK.from_pyca(speaker.key)
        return cls(party.urn, key.thumbprint(), speaker.not_after_utc, speaker.fingerprint, key)


def recipients_of(settings: Settings, now_utc: datetime) -> dict[str, Recipient]:
    """The houses (by URN) to which exchange.toml has everything encrypted; SettingsError where a certificate does not serve."""
    chosen = {country: partner.encryption_certificate for country, partner in settings.partners.items() if partner.encryption_certificate}
    if not chosen:
        return {}
    trust = TrustStore.of(settings)
    return {house_of(country).urn: Recipient.load(path, house_of(country), trust, now_utc) for country, path in chosen.items()}


def encrypt(content: bytes, content_type: str, recipient: Recipient) -> str:
    """Encrypt bytes to a house; gives the JWE in compact form. `content_type` travels as `cty`."""
    header = {"alg": TO_HOUSE[0], "enc": TO_HOUSE[1], "kid": recipient.key_id, "cty": content_type}
    return str(jwe.JWE(content, recipient=recipient.key, protected=json.dumps(header), algs=TO_HOUSE).serialize(compact=True))


class DecryptionKeys:
    """A house's decryption keys, the current one and those that old events still need, by thumbprint."""

    def __init__(self, keys: Mapping[str, jwk.JWK]) -> None:
        self._keys = dict(keys)

    @classmethod
    def load(cls, house: House) -> DecryptionKeys:
        """Read the keys that exchange.toml names; SettingsError where one cannot be read."""
        keys = [jwk.JWK.from_pyca(read_key(pair.key)) for pair in house.encryption]
        return cls({key.thumbprint(): key for key in keys})

    def decrypt(self, token: str) -> tuple[bytes, str]:
        """Give what a JWE holds, and its content type.

        UnavailableError `sealed-key-unknown` where none of our keys is meant: the operator adds it, and the event is tried again.
        ContentError `sealed-broken` where it does not decrypt.
        """
        found = jwe.JWE(algs=TO_HOUSE)
        try:
            header = _header(token, TO_HOUSE)
            found.deserialize(token)
            key = self._keys.get(str(header.get("kid")))
            if key is not None:
                found.decrypt(key)
                return bytes(found.payload), str(header.get("cty"))
        except (JWException, ContentError, ValueError, KeyError, TypeError, AttributeError):
            raise ContentError("sealed-broken", "the data does not decrypt with the key that it names", field="data.jwe") from None
        text = "it is encrypted to a key that this house does not have: add it to house.encryption, then it is tried again"
        raise UnavailableError("sealed-key-unknown", text, value=header.get("kid"))


NO_KEYS = DecryptionKeys({})  # a house that nobody encrypts to


def seal_reply(content: bytes, reply_key: bytes) -> str:
    """Encrypt what goes back to a post, under a key that it chose."""
    header = json.dumps({"alg": TO_POST[0], "enc": TO_POST[1]})
    return str(jwe.JWE(content, recipient=_symmetric(reply_key), protected=header, algs=TO_POST).serialize(compact=True))


def unseal_reply(sealed: str, reply_key: bytes) -> bytes | None:
    """Read it; None where it is under another key, or broken."""
    token = jwe.JWE(algs=TO_POST)
    try:
        _header(sealed, TO_POST)
        token.deserialize(sealed, key=_symmetric(reply_key))
        return bytes(token.payload)
    except (JWException, ContentError, ValueError, TypeError):
        return None


def seal_problems(problems: Sequence[Problem], reply_key: bytes) -> str:
    """Encrypt reasons to the post that sent the event, under the key that came with it."""
    return seal_reply(_PROBLEMS.dump_json(tuple(problems), exclude_none=True), reply_key)


def unseal_problems(sealed: str, reply_key: bytes | None) -> tuple[Problem, ...]:
    """Read reasons; where they cannot be read (another key, a key lost with the outbox) that itself is the one reason told."""
    try:
        return _PROBLEMS.validate_json(unseal_reply(sealed, reply_key or b"") or b"")[:PROBLEMS]
    except ValidationError:
        text = "the house's reasons are encrypted under a key that this outbox does not hold: ask the house"
        return (Problem(code="reasons-unreadable", text=text),)


def _header(token: str, algorithms: list[str]) -> dict[str, Any]:
    """Read the protected header by the rules of strict JSON, before the library does in its own way; ContentError for what is not ours.

    `zip` would have a few kilobytes unpack to whatever fits, before anyone looks at a limit.
    """
    content = unb64url(token.partition(".")[0])
    header = parse(content or b"")
    if [header.get("alg"), header.get("enc")] != algorithms or "zip" in header or "crit" in header:
        raise ContentError("sealed-broken", "not the algorithms of the protocol, or more than them", field="data.jwe")
    return header


def _symmetric(key: bytes) -> jwk.JWK:
    return jwk.JWK(kty="oct", k=b64url(key))
