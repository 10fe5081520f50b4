"""The pilot authority of one administration: its own CA (P-256) that issues unit, server and link certificates and writes CRLs.

A real administration brings its own CA instead (docs/pki.md says what its certificates need); judging certificates stands in `anchors`.
Rules: RFC 5280 sections 4.2 and 5.2.

    ca.pem, ca.key    the anchor and its key            register.json         what was issued and revoked
    <name>.pem, .key  certificates and keys made here   crls/<country>.crl    the newest CRL (DER)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.settings.model import LINK_USER, KeyPair
from broker.trust.keys import (
    fingerprint_of,
    key_fingerprint_of,
    key_of_request,
    make_key,
    read_certificates,
    read_key,
    replace_pair,
    request,
    write_atomically,
)
from broker.trust.profiles import host_name, key_usage
from broker.trust.register import Issued, Kind, Register, locked
from schemas.errors import ConflictError, PanjError, UsageError
from schemas.names import Party

CA_DAYS = 3650
LEAF_DAYS = 397
CRL_DAYS = 30
_BACKDATED = timedelta(hours=1)  # brokers judge TLS certificates without tolerance: a slow clock must not refuse a new one


def create_authority(directory: Path, country: str, *, days: int = CA_DAYS) -> Authority:
    """Make a new authority for `country` (such as `tj`) in `directory`, with its anchor, an empty book and a first CRL.

    ConflictError where one is there already: an authority is never replaced by accident.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "ca.pem").exists():
        raise ConflictError("authority-exists", "an authority is here already", field=str(directory / "ca.pem"))
    register = Register(country=country)
    key = make_key(directory / "ca.key")
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, country.upper()),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Panj pilot authority {country}"),
        ]
    )
    now = datetime.now(UTC).replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - _BACKDATED, now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    register.write(directory / "register.json")
    write_atomically(directory / "ca.pem", _pem(certificate))
    authority = Authority(directory, country, key, certificate)
    authority.write_crl()
    return authority


@dataclass(frozen=True)
class Authority:
    """An authority opened for issuing. Everything it hands out is PEM; every change goes through its book under a lock."""

    directory: Path
    country: str
    _key: ec.EllipticCurvePrivateKey
    _certificate: x509.Certificate

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """Open the authority in `directory`; SettingsError where a file is missing, too open or broken."""
        register = Register.read(directory / "register.json")
        return cls(directory, register.country, read_key(directory / "ca.key"), read_certificates(directory / "ca.pem")[0])

    @property
    def anchor(self) -> Path:
        """The file of the certificate that partners pin."""
        return self.directory / "ca.pem"

    @property
    def crl(self) -> Path:
        """The file of the newest CRL (DER)."""
        return self.directory / "crls" / f"{self.country}.crl"

    @property
    def register(self) -> Register:
        """The book as it stands now."""
        return Register.read(self._book)

    @property
    def _book(self) -> Path:
        return self.directory / "register.json"

    def issue_unit(self, party: Party, csr: bytes, *, days: int = LEAF_DAYS) -> bytes:
        """Certify the key of a CSR (PEM) for one of our units: CN is the unit's name, the one URI its URN; it may sign and log in.

        What the CSR asks for besides the key is ignored. UsageError `party-foreign` for a unit of another country.
        """
        if party.country != self.country:
            raise UsageError("party-foreign", f"the authority of {self.country} names only its own units", value=party.urn)
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(party.urn)])
        return self._issue(Kind.UNIT, party.unit, csr, days, urn=party.urn, names=names, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)

    def issue_encryption(self, party: Party, csr: bytes, *, days: int = LEAF_DAYS) -> bytes:
        """Certify the key to which partners encrypt for one of our customs houses: keyAgreement and its URN; it can never sign an event."""
        if party.country != self.country or not party.is_house:
            raise UsageError("party-foreign", f"partners encrypt to the customs house of {self.country} only", value=party.urn)
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(party.urn)])
        return self._issue(Kind.ENCRYPTION, encryption_name(party), csr, days, urn=party.urn, names=names)

    def issue_server(self, name: str, sans: Iterable[str], csr: bytes, *, days: int = LEAF_DAYS) -> bytes:
        """Certify our broker's key: CN is `name`; `sans` are the host names and IP addresses by which clients and partners reach it."""
        hosts = [host_name(san) for san in sans]
        if not hosts:
            raise UsageError("host-invalid", "a server certificate needs at least one host name or IP address", field="san")
        names = x509.SubjectAlternativeName(hosts)
        return self._issue(Kind.SERVER, name, csr, days, names=names, purpose=ExtendedKeyUsageOID.SERVER_AUTH)

    def issue_link(self, csr: bytes, partner: str, *, name: str | None = None, days: int = LEAF_DAYS) -> bytes:
        """Certify the key with which the partner's broker pulls from ours: CN `link-<partner>`, no URI: it can never sign an event.

        `name` is another CN that begins so, `link-af-2`: for a partner whose former name was shut out at the broker.
        """
        if len(partner) != 2 or not partner.isascii() or not partner.islower() or partner == self.country:
            raise UsageError("partner-invalid", "a partner is another country's code in lower case, such as af", value=partner)
        chosen = name or f"link-{partner}"
        if not re.fullmatch(LINK_USER, chosen) or chosen[5:7] != partner:
            raise UsageError(
                "partner-invalid", f"the name of a link's certificate is link-{partner}, or begins with link-{partner}-", value=name
            )
        return self._issue(Kind.LINK, chosen, csr, days, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)

    def create_unit(self, party: Party, *, days: int = LEAF_DAYS) -> KeyPair:
        """Make a key and a certificate for one of our units in the authority's own directory."""
        return self._create(party.unit, lambda csr: self.issue_unit(party, csr, days=days))

    def create_server(self, name: str, sans: Iterable[str], *, days: int = LEAF_DAYS) -> KeyPair:
        """Make a key and a certificate for our broker in the authority's own directory."""
        return self._create(name, lambda csr: self.issue_server(name, sans, csr, days=days))

    def create_encryption(self, party: Party, *, days: int = LEAF_DAYS) -> KeyPair:
        """Make a key and a certificate for encryption to our customs house in the authority's own directory."""
        return self._create(encryption_name(party), lambda csr: self.issue_encryption(party, csr, days=days))

    def renew_unit(self, party: Party, *, days: int = LEAF_DAYS) -> KeyPair:
        """Make a new key and certificate for a unit whose pair lies in this directory; the old pair stays until the new one is there.

        The old certificate stays valid until it expires: bundles on their way were signed with it. Revoke it where the key was lost.
        """
        return self._renew(party.unit, lambda csr: self.issue_unit(party, csr, days=days))

    def renew_server(self, name: str, *, days: int = LEAF_DAYS) -> KeyPair:
        """The same for our broker's pair: the new certificate is for the same hosts."""
        names = read_certificates(self._pair(name).certificate)[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
        return self._renew(name, lambda csr: self.issue_server(name, hosts, csr, days=days))

    def _renew(self, name: str, issue: Callable[[bytes], bytes]) -> KeyPair:
        pair = self._pair(name)
        read_key(pair.key)  # only what is ours and whole is renewed
        fresh = pair.key.with_name(pair.key.name + ".new")
        fresh.unlink(missing_ok=True)  # left by a renewal that did not get far: never certified, or never used
        make_key(fresh)
        replace_pair(pair.key, pair.certificate, issue(request(fresh, name)))
        return pair

    def revoke(self, serial: str, *, now_utc: datetime | None = None) -> Issued:
        """Revoke a certificate by its serial (hex) and write a new CRL; UsageError `serial-unknown` where we never issued it."""
        now = (now_utc or datetime.now(UTC)).replace(microsecond=0)
        with locked(self._book):
            book = self.register
            found = next((each for each in book.issued if each.serial == serial.lower()), None)
            if found is None:
                raise UsageError("serial-unknown", "this authority issued no certificate with that serial", value=serial)
            revoked = found.model_copy(update={"revoked_at_utc": found.revoked_at_utc or now})
            issued = tuple(revoked if each is found else each for each in book.issued)
            book.model_copy(update={"issued": issued}).write(self._book)
        self.write_crl(now_utc=now_utc)
        return revoked

    def write_crl(self, path: Path | None = None, *, days: int = CRL_DAYS, now_utc: datetime | None = None) -> Path:
        """Write a CRL (DER) with the next number to the authority's own place, and to `path` where it is given (RFC 5280 section 5.2.3)."""
        now = (now_utc or datetime.now(UTC)).replace(microsecond=0)
        with locked(self._book):
            book = self.register
            book = book.model_copy(update={"crl_number": book.crl_number + 1})
            builder = x509.CertificateRevocationListBuilder(self._certificate.subject, now, now + timedelta(days=days))
            for each in book.issued:
                if each.revoked_at_utc is not None:
                    entry = x509.RevokedCertificateBuilder(int(each.serial, 16), each.revoked_at_utc)
                    builder = builder.add_revoked_certificate(entry.build())
            builder = builder.add_extension(x509.CRLNumber(book.crl_number), critical=False)
            builder = builder.add_extension(self._key_identifier, critical=False)
            der = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
            book.write(self._book)  # first: a number that was counted and never used does no harm, one used twice would
            self.crl.parent.mkdir(exist_ok=True)
            for place in (self.crl, path) if path else (self.crl,):
                write_atomically(place, der)
        return path or self.crl

    @property
    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())

    def _pair(self, name: str) -> KeyPair:
        return KeyPair(key=self.directory / f"{name}.key", certificate=self.directory / f"{name}.pem")

    def _create(self, name: str, issue: Callable[[bytes], bytes]) -> KeyPair:
        pair = self._pair(name)
        make_key(pair.key)
        try:
            write_atomically(pair.certificate, issue(request(pair.key, name)))
        except PanjError:
            pair.key.unlink()  # certified by nobody: a second try starts clean
            raise
        return pair

    def _issue(
        self,
        kind: Kind,
        name: str,
        csr: bytes,
        days: int,
        *,
        purpose: x509.ObjectIdentifier | None = None,
        urn: str | None = None,
        names: x509.SubjectAlternativeName | None = None,
    ) -> bytes:
        key = key_of_request(csr)
        now = datetime.now(UTC).replace(microsecond=0)
        until = min(now + timedelta(days=days), self._certificate.not_valid_after_utc)
        if days < 1 or until <= now:
            raise UsageError(
                "days-invalid", "a certificate needs at least a day, within the life of its authority", field="days", value=days
            )
        subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, self.country.upper()), x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder(
                self._certificate.subject,
                subject,
                key,
                x509.random_serial_number(),
                max(now - _BACKDATED, self._certificate.not_valid_before_utc),
                until,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(kind), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(self._key_identifier, critical=False)
        )
        if purpose is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        self._enter(kind, name, urn, certificate, now)
        return _pem(certificate)

    def _enter(self, kind: Kind, name: str, urn: str | None, certificate: x509.Certificate, now: datetime) -> None:
        with locked(self._book):
            issued = Issued(
                serial=f"{certificate.serial_number:x}",
                kind=kind,
                name=name,
                urn=urn,
                issued_at_utc=now,
                not_after_utc=certificate.not_valid_after_utc,
                fingerprint=fingerprint_of(certificate),
                key_fingerprint=key_fingerprint_of(certificate),
            )
            self.register.with_issued(issued).write(self._book)


def encryption_name(party: Party) -> str:
    """The name of a house's encryption key and certificate: `af-customs-encryption`."""
    return f"{party.unit}-encryption"


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
