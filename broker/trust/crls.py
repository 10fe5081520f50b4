"""Certificate revocation lists of one country, read from a directory: the newest CRLNumber of each issuer wins and never goes down.

Who is revoked by them is asked by `anchors`. Rules: RFC 5280 sections 5.1 and 5.2; only whole, direct CRLs are taken (no delta CRLs, no
CRLs for other issuers' certificates).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker.trust.keys import fingerprint_of, write_atomically
from schemas.errors import DistrustError, SettingsError
from schemas.limits import CRL_BYTES

log = structlog.get_logger()

AUTHORITIES = 64  # of one country: an administration that is up to no good may make as many as it likes, and a list of 500 kB of each
_SUFFIXES = frozenset({".crl", ".der", ".pem"})


@dataclass(frozen=True, slots=True)
class Crl:
    """One revocation list, read and not yet believed: `CrlShelf.newest` gives only those that their issuer signed.

    `digest` is the SHA-256 of `der`: the name under which it is kept as evidence.
    """

    number: int
    this_update_utc: datetime
    next_update_utc: datetime
    digest: bytes = field(repr=False)
    der: bytes = field(repr=False)
    parsed: x509.CertificateRevocationList = field(repr=False, compare=False)

    @property
    def issuer(self) -> str:
        """The name of the authority that says to have signed it (RFC 4514)."""
        return self.parsed.issuer.rfc4514_string()

    @classmethod
    def parse(cls, content: bytes) -> Crl:
        """Read DER or PEM; DistrustError `crl-invalid` for anything that is not a whole, direct CRL with a number and a next update."""
        try:
            pem = content.lstrip().startswith(b"-----BEGIN")
            parsed = x509.load_pem_x509_crl(content) if pem else x509.load_der_x509_crl(content)
            der = parsed.public_bytes(serialization.Encoding.DER) if pem else content
            critical = [extension.oid.dotted_string for extension in parsed.extensions if extension.critical]
            number = parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            this_update, next_update = parsed.last_update_utc, parsed.next_update_utc
        except (
            ValueError,
            UnsupportedAlgorithm,
            x509.ExtensionNotFound,
            x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType,
        ) as error:
            raise DistrustError("crl-invalid", f"not a CRL with a CRLNumber: {type(error).__name__}") from None
        if critical:  # a delta CRL or one with an issuing distribution point says less than it seems to
            raise DistrustError("crl-invalid", "a CRL with a critical extension is not taken", value=critical[0])
        if next_update is None:
            raise DistrustError("crl-invalid", "a CRL must say when the next one comes (nextUpdate)")
        return cls(number, this_update, next_update, hashlib.sha256(der).digest(), der, parsed)

    def signed_by(self, issuer: x509.Certificate) -> bool:
        """Whether this certificate's key signed it and may sign CRLs."""
        if self.parsed.issuer != issuer.subject:
            return False
        try:
            usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
            may_sign = usage.crl_sign
        except x509.ExtensionNotFound:
            may_sign = True
        except (ValueError, x509.DuplicateExtension):
            return False
        key = issuer.public_key()
        if not may_sign or not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
            return False
        try:
            return self.parsed.is_signature_valid(key)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return False

    def revoked_since(self, serial: int) -> datetime | None:
        """Since when this serial is revoked: its revocation date, or its invalidity date (RFC 5280 section 5.3.2) where that is earlier."""
        entry = self.parsed.get_revoked_certificate_by_serial_number(serial)
        if entry is None:
            return None
        try:
            invalid = entry.extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
        except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
            return entry.revocation_date_utc
        return min(entry.revocation_date_utc, invalid)

    def revokes(self, serial: int) -> bool:
        """Whether it lists this serial."""
        return self.parsed.get_revoked_certificate_by_serial_number(serial) is not None


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate stands on a CRL: since when, as the list says (its invalidity date, where that is earlier)."""

    since_utc: datetime
    serial: str
    crl: Crl

    def age(self) -> tuple[datetime, int]:
        """What tells the earliest of several."""
        return self.since_utc, self.crl.number


def revocations(certificate: x509.Certificate, lists: Iterable[Crl]) -> Iterator[Revocation]:
    """Where these lists, all of its issuer, revoke a certificate."""
    for crl in lists:
        since = crl.revoked_since(certificate.serial_number)
        if since is not None:
            yield Revocation(since, f"{certificate.serial_number:x}", crl)


@dataclass(frozen=True, slots=True)
class HeldCrl:
    """A revocation list that is believed: whose it is; `issuer` is the fingerprint of the authority that signed it."""

    country: str
    issuer: str
    number: int
    this_update_utc: datetime
    next_update_utc: datetime
    der: bytes = field(repr=False)


class CrlShelf:
    """The CRLs of one country. Not thread-safe: `TrustStore` calls it under its lock."""

    def __init__(self, country: str, directory: Path) -> None:
        self.country = country
        self.directory = directory
        self._seen: tuple[tuple[str, int, int, int], ...] | None = None
        self._read: list[Crl] = []
        self._held: dict[str, Crl] = {}  # by issuer's fingerprint: what was believed last; it stays even when the file goes
        self._answered: set[str] = set()  # issuers looked up since the directory was last read

    def reload(self) -> bool:
        """Read the directory again where names, times or sizes have changed; say whether anything was read."""
        files = tuple(sorted(self._files()))
        if files == self._seen:
            return False
        self._seen = files
        self._read = [crl for name, _, size, _ in files if (crl := self._parsed(self.directory / name, size))]
        self._answered.clear()
        return True

    def newest(self, issuer: x509.Certificate) -> Crl | None:
        """The list with the highest number that this issuer signed, of those read now and before; None where there is none."""
        name = fingerprint_of(issuer)
        if name not in self._answered:
            if len(self._answered) > AUTHORITIES:
                self._answered.clear()
            self._answered.add(name)
            candidates = sorted(
                (crl for crl in self._read if crl.parsed.issuer == issuer.subject), key=lambda crl: crl.number, reverse=True
            )
            found = next((crl for crl in candidates if crl.signed_by(issuer)), None)
            held = self._held.get(name)
            if found is not None and (held is None or found.number > held.number):
                self._hold(name, found)
            elif held is not None and (found is None or found.number < held.number):
                log.warning("crl.rollback_ignored", country=self.country, held=held.number, found=found.number if found else None)
        return self._held.get(name)

    def take(self, content: bytes, issuer: x509.Certificate, number: int | None = None) -> bool:
        """Keep a CRL that came over the wire, if its issuer signed it and it is newer than the one held; say whether it was.

        DistrustError `crl-invalid` where it is none, this issuer did not sign it, or it has another number than was said. Where it
        cannot be written it counts all the same, until this process ends: nobody is let in because a directory is read-only.
        """
        crl = Crl.parse(content)
        if not crl.signed_by(issuer):
            raise DistrustError("crl-invalid", "the CRL is not signed by its authority", value=self.country)
        if number is not None and number != crl.number:
            raise DistrustError("crl-invalid", "the CRL has another number than its bringer says", field="crl_number", value=crl.number)
        held = self.newest(issuer)
        if held is not None and held.number >= crl.number:
            return False
        if held is None and len(self._held) >= AUTHORITIES:
            raise DistrustError("crl-invalid", f"no more than {AUTHORITIES} authorities of one country are heard", value=self.country)
        name = fingerprint_of(issuer)
        self._hold(name, crl)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_atomically(self.directory / f"received-{name[:12]}.crl", content)
        except (OSError, SettingsError) as error:
            advice = f"let this user write {self.directory}, or the CRL is forgotten at the next start"
            log.warning("crl.unkept", country=self.country, number=crl.number, reason=str(error), advice=advice)
        self.reload()
        return True

    def held(self) -> list[HeldCrl]:
        """What is believed now: one list of each issuer that was looked up."""
        return [
            HeldCrl(self.country, issuer, crl.number, crl.this_update_utc, crl.next_update_utc, crl.der)
            for issuer, crl in self._held.items()
        ]

    def _hold(self, name: str, crl: Crl) -> None:
        self._held[name] = crl
        log.info("crl.taken", country=self.country, number=crl.number, next_update_utc=crl.next_update_utc.isoformat())

    def _files(self) -> Iterator[tuple[str, int, int, int]]:
        try:
            for path in self.directory.iterdir():
                if path.suffix in _SUFFIXES and not path.name.startswith(".") and path.is_file():
                    stat = path.stat()
                    yield path.name, stat.st_mtime_ns, stat.st_size, stat.st_ino
        except OSError:  # asked every second: `panj status` shows the CRL as missing, and those that are held stay
            return

    def _parsed(self, path: Path, size: int) -> Crl | None:
        if size > CRL_BYTES:
            log.warning("crl.refused", country=self.country, file=str(path), reason="larger than 4 MiB")
            return None
        try:
            return Crl.parse(path.read_bytes())
        except (OSError, DistrustError) as error:
            log.warning("crl.refused", country=self.country, file=str(path), reason=str(error))
            return None
