"""Data under encryption: only the house that it is for reads it, an independent library agrees, and nothing altered is taken."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import ECKey, OctKey

from broker.bundle.sealed import is_sealed, seal, unseal
from broker.settings.model import House, KeyPair
from broker.trust.anchors import TrustStore
from broker.trust.authority import Authority, create_authority
from broker.trust.sealing import DecryptionKeys, Recipient, seal_problems, unseal_problems
from broker.trust.signing import b64url, unb64url
from schemas.errors import ContentError, Problem, SettingsError, UnavailableError
from schemas.event import Event, new_epoch, new_id, new_salt, utc_text
from schemas.examples import export
from schemas.limits import PROBLEMS
from schemas.names import Party
from schemas.sealed import SEALED_SCHEMA, plaintext_digest, write_plaintext

HOUSE = Party("af", "customs")
SECRET = "Bodom Export and nobody else"
REASONS = (Problem(code="rule-broken", text="номер уже есть", field="items.1", value="25AB"),)
ALGORITHMS = ["ECDH-ES+A256KW", "A256GCM", "dir"]


class Desk:
    """A house with its encryption key, and a sender that has its certificate."""

    def __init__(self, directory: Path) -> None:
        self.authority: Authority = create_authority(directory, "af")
        self.pair: KeyPair = self.authority.create_encryption(HOUSE)
        self.trust = TrustStore({"af": self.authority.anchor}, {"af": self.authority.crl.parent})
        self.recipient = Recipient.load(self.pair.certificate, HOUSE, self.trust, datetime.now(UTC))
        self.keys = keys_of(self.pair)
        self.jose = ECKey.import_key(self.pair.key.read_text())


def keys_of(*pairs: KeyPair) -> DecryptionKeys:
    return DecryptionKeys.load(House(certificate=Path("-"), key=Path("-"), database="sqlite:///x", encryption=pairs))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk") / "pki")


def event(data: dict[str, Any], salt: str, **changes: Any) -> Event:
    event_id = new_id()
    attributes = {
        "specversion": "1.0",
        "id": event_id,
        "source": "urn:customs:tj:panji-poyon",
        "type": "customs.export-declaration.v1",
        "subject": event_id,
        "time": utc_text(datetime.now(UTC)),
        "dataschema": SEALED_SCHEMA,
        "destination": HOUSE.urn,
        "environment": "test",
        "sequence": 1,
        "epoch": new_epoch(),
        "purpose": "customs-control",
        "legalbasis": "bilateral protocol",
        "salt": salt,
        "data": data,
    }
    return Event.model_validate(attributes | changes)


def sealed_event(desk: Desk, data: dict[str, Any]) -> tuple[Event, bytes]:
    salt = new_salt()
    sealed, reply_key = seal(data, salt, desk.recipient)
    return event(sealed, salt), reply_key


def test_the_house_reads_what_was_encrypted_to_it_and_the_envelope_tells_nothing(desk: Desk) -> None:
    data = export("tj", "PNJ", "1") | {"exporter_name": SECRET}
    sealed, reply_key = sealed_event(desk, data)
    assert is_sealed(sealed)
    assert SECRET not in sealed.model_dump_json()
    said = unseal(sealed, desk.keys)
    assert (said.data, said.reply_key) == (data, reply_key)


def test_an_independent_library_reads_what_we_encrypt_and_we_read_what_it_encrypts(desk: Desk) -> None:
    data = {"exporter_name": SECRET}
    sealed, _ = sealed_event(desk, data)
    found = jwe.decrypt_compact(sealed.data["jwe"], desk.jose, algorithms=ALGORITHMS)
    assert found.protected["kid"] == desk.recipient.key_id == desk.jose.thumbprint()
    assert SECRET in (found.plaintext or b"").decode()
    salt, plaintext = new_salt(), write_plaintext(data, b64url(bytes(32)))
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": desk.recipient.key_id, "cty": "application/json"}
    theirs = {
        "jwe": jwe.encrypt_compact(header, plaintext, desk.jose, algorithms=ALGORITHMS),
        "digest": b64url(plaintext_digest(salt, plaintext)),
    }
    assert unseal(event(theirs, salt), desk.keys).data == data


def test_an_event_for_another_key_waits_for_that_key_and_opens_once_it_is_added(desk: Desk, tmp_path: Path) -> None:
    sealed, _ = sealed_event(desk, {"number": 1})
    other = create_authority(tmp_path / "pki", "af").create_encryption(HOUSE)
    with pytest.raises(UnavailableError, match="sealed-key-unknown"):
        unseal(sealed, keys_of(other))
    assert unseal(sealed, keys_of(other, desk.pair)).data == {"number": 1}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nothing_altered_is_taken(desk: Desk, data: st.DataObject) -> None:
    salt = new_salt()
    sealed, _ = seal({"number": 1}, salt, desk.recipient)
    if data.draw(st.booleans()):
        parts = sealed["jwe"].split(".")
        at = data.draw(st.integers(0, 4))
        content = bytearray(unb64url(parts[at]) or b"")
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        parts[at] = b64url(bytes(content))
        sealed = sealed | {"jwe": ".".join(parts)}
    else:
        sealed = sealed | {"digest": b64url(data.draw(st.binary(min_size=32, max_size=32)))}
    with pytest.raises((ContentError, UnavailableError)):
        unseal(event(sealed, salt), desk.keys)


@pytest.mark.parametrize(
    "plaintext",
    [b"{}", b"[]", b'{"data":{},"reply":"x"}', b'{"data":{},"reply":"' + b"A" * 43 + b'","more":1}', b'{"data":{},"data":{},"reply":"A"}'],
)
def test_a_plaintext_that_is_not_data_and_a_reply_key_is_refused(desk: Desk, plaintext: bytes) -> None:
    salt = new_salt()
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": desk.recipient.key_id, "cty": "application/json"}
    token = jwe.encrypt_compact(header, plaintext, desk.jose, algorithms=ALGORITHMS)
    with pytest.raises(ContentError):
        unseal(event({"jwe": token, "digest": b64url(plaintext_digest(salt, plaintext))}, salt), desk.keys)


def test_a_bomb_of_gzip_is_refused_before_it_grows(desk: Desk) -> None:
    salt = new_salt()
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": desk.recipient.key_id, "cty": "application/json+gzip"}
    token = jwe.encrypt_compact(header, gzip.compress(b" " * 64 * 1024**2), desk.jose, algorithms=ALGORITHMS)
    with pytest.raises(ContentError, match="unpack"):
        unseal(event({"jwe": token, "digest": b64url(bytes(32))}, salt), desk.keys)


def test_reasons_go_back_under_the_key_that_came_and_only_it_reads_them(desk: Desk) -> None:
    _, reply_key = sealed_event(desk, {"number": 1})
    sealed = seal_problems(REASONS, reply_key)
    assert "25AB" not in sealed
    assert unseal_problems(sealed, reply_key) == REASONS
    theirs = jwe.decrypt_compact(sealed, OctKey.import_key(reply_key), algorithms=ALGORITHMS)
    assert json.loads(theirs.plaintext or b"")[0]["code"] == "rule-broken"
    for wrong in (bytes(32), None):
        (told,) = unseal_problems(sealed, wrong)
        assert told.code == "reasons-unreadable"


def test_a_certificate_that_does_not_serve_for_encryption_is_refused_by_name(desk: Desk, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    signing = desk.authority.create_unit(HOUSE)
    with pytest.raises(SettingsError, match="keyAgreement"):
        Recipient.load(signing.certificate, HOUSE, desk.trust, now)
    with pytest.raises(SettingsError, match="encryption-certificate"):
        Recipient.load(desk.pair.certificate, Party("af", "eshkashim"), desk.trust, now)
    with pytest.raises(SettingsError, match="expired"):
        Recipient.load(desk.pair.certificate, HOUSE, desk.trust, now + timedelta(days=500))
    stranger = create_authority(tmp_path / "pki", "af").create_encryption(HOUSE)
    with pytest.raises(SettingsError, match="path"):
        Recipient.load(stranger.certificate, HOUSE, desk.trust, now)


def _token(desk: Desk, content: bytes, **header: Any) -> str:
    """A JWE to the house with any header, made by hand."""
    from jwcrypto import jwe as other  # noqa: PLC0415  what the house itself decrypts with

    said = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": desk.recipient.key_id, "cty": "application/json"} | header
    return str(other.JWE(content, recipient=desk.recipient.key, protected=json.dumps(said)).serialize(compact=True))


def test_what_unpacks_before_anyone_looks_at_a_limit_is_refused(desk: Desk) -> None:
    assert desk.keys.decrypt(_token(desk, b"plain")) == (b"plain", "application/json")
    with pytest.raises(ContentError) as caught:
        desk.keys.decrypt(_token(desk, bytes(50_000_000), zip="DEF"))
    assert caught.value.code == "sealed-broken"


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"ECDH-ES+A256KW","enc":"A256GCM","x":' + b"[" * 300_000 + b"]" * 300_000 + b"}",
        b'{"alg":"dir","alg":"ECDH-ES+A256KW","enc":"A256GCM"}',
        b'{"alg":"ECDH-ES+A256KW","enc":"A256GCM","crit":["exp"]}',
        b'{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2000000000,"p2s":"AAAA"}',
        b'{"alg":"ECDH-ES+A256KW","enc":["A256GCM"]}',
        b"[]",
        b"",
        b"\xff",
    ],
)
def test_a_header_outside_the_protocol_is_broken_for_the_house_and_unreadable_for_the_post(desk: Desk, header: bytes) -> None:
    token = f"{b64url(header)}.AAAA.AAAA.AAAA.AAAA"
    with pytest.raises(ContentError) as caught:
        desk.keys.decrypt(token)
    assert caught.value.code == "sealed-broken"
    assert [problem.code for problem in unseal_problems(token, bytes(32))] == ["reasons-unreadable"]


def test_no_more_reasons_are_read_than_an_answer_may_hold() -> None:
    sealed = seal_problems(REASONS * 50, bytes(32))
    assert len(unseal_problems(sealed, bytes(32))) == PROBLEMS
