"""The pilot authority and the files of keys: what it issues is believed for what it is, and for nothing else."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.settings.model import KeyPair
from broker.trust.anchors import TrustStore
from broker.trust.authority import Authority, create_authority
from broker.trust.keys import Identity, make_key, read_certificates, read_key, replace_pair, request
from broker.trust.register import Kind
from schemas.errors import ConflictError, DistrustError, PanjError, SettingsError, UsageError
from schemas.names import Party, house_of

POST = Party("tj", "panji-poyon")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return create_authority(tmp_path / "pki", "tj")


def trust_of(authority: Authority) -> TrustStore:
    return TrustStore({authority.country: authority.anchor}, {authority.country: authority.crl.parent})


def csr(tmp_path: Path, name: str = "some") -> bytes:
    make_key(tmp_path / f"{name}.key")
    return request(tmp_path / f"{name}.key", name)


def code_of(error: pytest.ExceptionInfo[PanjError]) -> str:
    return error.value.code


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_units_certificate_names_it_and_is_believed(authority: Authority) -> None:
    pair = authority.create_unit(POST)
    certificate = read_certificates(pair.certificate)[0]
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "tj-panji-poyon"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("urn:customs:tj:panji-poyon")]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    speaker = trust_of(authority).speaker(Identity.load(pair.key, pair.certificate).x5c, "tj", datetime.now(UTC))
    assert speaker.urn == POST.urn


def test_a_links_certificate_logs_in_and_can_never_sign(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "link.pem").write_bytes(authority.issue_link(csr(tmp_path), "af"))
    certificate = read_certificates(tmp_path / "link.pem")[0]
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "link-af"
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    with pytest.raises(SettingsError) as caught:
        Identity.load(tmp_path / "some.key", tmp_path / "link.pem")
    assert code_of(caught) == "certificate-name"


def test_a_brokers_certificate_carries_its_hosts(authority: Authority) -> None:
    pair = authority.create_server("tj-broker", ["localhost", "127.0.0.1", "::1"])
    certificate = read_certificates(pair.certificate)[0]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_keys_are_private_and_never_overwritten(authority: Authority) -> None:
    pair = authority.create_unit(POST)
    assert {mode_of(authority.directory / name) for name in ("ca.key", pair.key.name, "register.json")} == {0o600}
    before = pair.key.read_bytes()
    with pytest.raises(ConflictError) as caught:
        authority.create_unit(POST)
    assert code_of(caught) == "key-exists"
    assert pair.key.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620])
def test_a_key_that_others_may_touch_is_refused(authority: Authority, mode: int) -> None:
    pair = authority.create_unit(POST)
    pair.key.chmod(mode)
    with pytest.raises(SettingsError) as caught:
        Identity.load(pair.key, pair.certificate)
    assert code_of(caught) == "key-mode"
    assert str(pair.key) in str(caught.value)


def test_a_pair_that_does_not_belong_together_is_refused(authority: Authority) -> None:
    one, other = authority.create_unit(POST), authority.create_unit(house_of("tj"))
    with pytest.raises(SettingsError) as caught:
        Identity.load(one.key, other.certificate)
    assert code_of(caught) == "key-mismatch"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"nothing", "key-unreadable"),
        (
            ec.generate_private_key(ec.SECP384R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            "key-curve",
        ),
        (
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
            ),
            "key-unreadable",
        ),
    ],
)
def test_a_file_that_is_no_key_of_ours_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "a.key").write_bytes(content)
    (tmp_path / "a.key").chmod(0o600)
    with pytest.raises(SettingsError) as caught:
        read_key(tmp_path / "a.key")
    assert code_of(caught) == code


def test_missing_files_are_named(authority: Authority, tmp_path: Path) -> None:
    pair = authority.create_unit(POST)
    for wrong in (KeyPair(key=tmp_path / "none", certificate=pair.certificate), KeyPair(key=pair.key, certificate=tmp_path / "none")):
        with pytest.raises(SettingsError) as caught:
            Identity.load(wrong.key, wrong.certificate)
        assert code_of(caught) == "file-unreadable"
        assert str(tmp_path / "none") in str(caught.value)


def test_an_anchor_in_the_certificate_file_does_not_travel(authority: Authority) -> None:
    pair = authority.create_unit(POST)
    pair.certificate.write_bytes(pair.certificate.read_bytes() + authority.anchor.read_bytes())
    assert len(Identity.load(pair.key, pair.certificate).x5c) == 1


def test_an_authority_is_never_replaced(authority: Authority) -> None:
    with pytest.raises(ConflictError) as caught:
        create_authority(authority.directory, "tj")
    assert code_of(caught) == "authority-exists"


def test_an_authority_opened_again_goes_on(authority: Authority) -> None:
    authority.create_unit(POST)
    again = Authority.load(authority.directory)
    again.create_unit(house_of("tj"))
    assert [each.name for each in authority.register.issued] == ["tj-panji-poyon", "tj-customs"]
    with pytest.raises(SettingsError) as caught:
        Authority.load(authority.directory / "elsewhere")
    assert code_of(caught) == "authority-missing"


def test_only_the_key_of_a_request_counts(authority: Authority, tmp_path: Path) -> None:
    key = make_key(tmp_path / "greedy.key")
    wish = (
        x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tj-customs")]))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:customs:tj:customs")]), critical=False)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    certificate = x509.load_pem_x509_certificate(authority.issue_link(wish, "af"))
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "link-af"
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_one_key_has_one_name(authority: Authority, tmp_path: Path) -> None:
    wish = csr(tmp_path)
    authority.issue_unit(POST, wish)
    authority.issue_unit(POST, wish)  # the same name again is a renewal without a new key
    with pytest.raises(ConflictError) as caught:
        authority.issue_link(wish, "af")
    assert code_of(caught) == "key-shared"
    with pytest.raises(ConflictError) as caught:
        authority.issue_unit(house_of("tj"), wish)
    assert code_of(caught) == "key-shared"


def test_requests_that_prove_nothing_are_refused(authority: Authority, tmp_path: Path) -> None:
    wish = csr(tmp_path)
    der = bytearray(x509.load_pem_x509_csr(wish).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    unproven = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    big = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256())
    cases = [
        (b"nothing", "request-invalid"),
        (unproven, "request-unproven"),
        (big.public_bytes(serialization.Encoding.PEM), "request-curve"),
    ]
    for content, code in cases:
        with pytest.raises(UsageError) as caught:
            authority.issue_unit(POST, content)
        assert code_of(caught) == code


def test_an_authority_names_only_its_own_country(authority: Authority, tmp_path: Path) -> None:
    wish = csr(tmp_path)
    with pytest.raises(UsageError) as caught:
        authority.issue_unit(house_of("af"), wish)
    assert code_of(caught) == "party-foreign"
    for partner in ("tj", "AF", "afg", ""):
        with pytest.raises(UsageError) as caught:
            authority.issue_link(wish, partner)
        assert code_of(caught) == "partner-invalid"


def test_days_and_hosts_make_sense(authority: Authority, tmp_path: Path) -> None:
    wish = csr(tmp_path)
    with pytest.raises(UsageError) as caught:
        authority.issue_unit(POST, wish, days=0)
    assert code_of(caught) == "days-invalid"
    for hosts in ([], ["höst"]):
        with pytest.raises(UsageError) as caught:
            authority.issue_server("b", hosts, wish)
        assert code_of(caught) == "host-invalid"
    outlived = x509.load_pem_x509_certificate(authority.issue_unit(POST, wish, days=9_999))
    assert outlived.not_valid_after_utc == read_certificates(authority.anchor)[0].not_valid_after_utc


def test_revoking_writes_a_crl_that_parks_the_unit(authority: Authority) -> None:
    pair = authority.create_unit(POST)
    trust, x5c, now = trust_of(authority), Identity.load(pair.key, pair.certificate).x5c, datetime.now(UTC)
    assert trust.speaker(x5c, "tj", now).urn == POST.urn
    revoked = authority.revoke(authority.register.issued[0].serial)
    assert revoked.state(now) == "revoked"
    assert trust.reload()
    with pytest.raises(DistrustError) as caught:
        trust.speaker(x5c, "tj", now)
    assert code_of(caught) == "trust-revoked"
    with pytest.raises(UsageError) as unknown:
        authority.revoke("abc")
    assert code_of(unknown) == "serial-unknown"


def test_crl_numbers_rise_and_revocations_stay(authority: Authority, tmp_path: Path) -> None:
    authority.create_unit(POST)
    authority.revoke(authority.register.issued[0].serial)
    numbers = []
    for _ in range(3):
        crl = x509.load_der_x509_crl(authority.write_crl(tmp_path / "copy.crl", days=7).read_bytes())
        numbers.append(crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        assert len(crl) == 1
        assert crl.next_update_utc is not None
        assert crl.next_update_utc - crl.last_update_utc == timedelta(days=7)
    assert numbers == [3, 4, 5]
    assert authority.crl.read_bytes() == (tmp_path / "copy.crl").read_bytes()


def test_a_renewal_gives_a_new_key_and_certificate_in_place(authority: Authority) -> None:
    pair = authority.create_unit(POST)
    old = Identity.load(pair.key, pair.certificate)
    authority.renew_unit(POST)
    new = Identity.load(pair.key, pair.certificate)
    assert new.urn == old.urn
    assert new.fingerprint != old.fingerprint
    assert new.key.public_key() != old.key.public_key()
    assert mode_of(pair.key) == 0o600
    assert not list(authority.directory.glob("*.new"))
    assert trust_of(authority).speaker(old.x5c, "tj", datetime.now(UTC)).urn == POST.urn
    assert len({each.serial for each in authority.register.issued}) == 2
    assert {each.kind for each in authority.register.issued} == {Kind.UNIT}


def test_a_key_that_waited_for_its_certificate_is_put_in_place_as_if_written_now(authority: Authority) -> None:
    """RabbitMQ sees by the modification time alone that a file was replaced."""
    pair = authority.create_unit(POST)
    fresh = pair.key.with_name(pair.key.name + ".new")
    make_key(fresh)
    os.utime(fresh, (1, 1))
    replace_pair(pair.key, pair.certificate, authority.issue_unit(POST, request(fresh, "x")))
    for file in (pair.key, pair.certificate):
        assert time.time() - file.stat().st_mtime < 60


def test_a_renewal_cut_short_anywhere_leaves_a_pair_that_loads(authority: Authority, tmp_path: Path) -> None:
    pair = authority.create_unit(POST)
    old = Identity.load(pair.key, pair.certificate).fingerprint
    fresh = pair.key.with_name(pair.key.name + ".new")
    make_key(fresh)
    assert Identity.load(pair.key, pair.certificate).fingerprint == old
    pem = authority.issue_unit(POST, request(fresh, "x"))
    pair.certificate.with_name(pair.certificate.name + ".new").write_bytes(pem)
    assert Identity.load(pair.key, pair.certificate).fingerprint == old
    fresh.replace(pair.key)  # the one step that counts
    assert Identity.load(pair.key, pair.certificate).fingerprint != old
    with pytest.raises(PanjError):  # nothing lies at <key>.new any more
        replace_pair(pair.key, pair.certificate, pem)
    assert Identity.load(pair.key, pair.certificate).fingerprint != old


def test_a_renewal_without_a_pair_says_which_file_is_missing(authority: Authority) -> None:
    with pytest.raises(SettingsError) as caught:
        authority.renew_unit(POST)
    assert code_of(caught) == "file-unreadable"


def test_a_damaged_book_is_an_answer_and_not_a_traceback(authority: Authority) -> None:
    (authority.directory / "register.json").write_text("{}")
    with pytest.raises(SettingsError) as caught:
        Authority.load(authority.directory)
    assert code_of(caught) == "authority-broken"
