"""Private keys and certificates as files: making, reading and pairing them. Who may be trusted stands in `anchors`, issuing in `authority`.

A key file is created with mode 0600 and never overwritten; one that others may read is refused.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.settings.model import KeyPair
from schemas.errors import ConflictError, PanjError, SettingsError, UsageError
from schemas.limits import CHAIN_CERTIFICATES
from schemas.names import Party


def make_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key and write it to `path` (PKCS#8 PEM, mode 0600); ConflictError `key-exists` where a file is there already."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ConflictError("key-exists", "a private key is never overwritten: move the file away first", field=str(path)) from None
    except OSError as error:
        raise SettingsError("file-unwritable", f"cannot write the key: {error.strerror}", field=str(path)) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return key


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a P-256 key; SettingsError `key-mode` where group or others have any right to the file, `key-unreadable` otherwise."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            pem = file.read(64 * 1024)
    except OSError as error:
        raise SettingsError("file-unreadable", f"cannot read the key: {error.strerror}", field=str(path)) from None
    if mode & 0o077:
        raise SettingsError("key-mode", 'others may read the private key: run "chmod 600" on it', field=str(path), value=f"{mode:04o}")
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise SettingsError("key-unreadable", "not a private key in PEM without a password", field=str(path)) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SettingsError("key-curve", "the key is not on the curve P-256", field=str(path))
    return key


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Read the certificates of a PEM file in their order; SettingsError where there are none or one is broken."""
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise SettingsError("file-unreadable", f"cannot read the certificate: {error.strerror}", field=str(path)) from None
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise SettingsError("certificate-unreadable", "not a certificate in PEM", field=str(path)) from None


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `content` in one step: whoever reads sees the old file or the new one, whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SettingsError("file-unwritable", f"cannot write the file: {error.strerror}", field=str(path)) from None


def uris_of(certificate: x509.Certificate) -> list[str]:
    """All names in a certificate's subject alternative name that are URIs; ValueError where the extension is broken."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from None
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 over the certificate's DER, in lower-case hex: the name by which people compare certificates."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 over the certificate's public key (SubjectPublicKeyInfo, DER), in lower-case hex."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are towards the other side: one unit's key and its certificate with up to two intermediates.

    `x5c` holds the chain as it travels (base64 of DER, leaf first, RFC 7515 section 4.1.6).
    """

    urn: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    x5c: tuple[str, ...] = field(repr=False)
    not_before_utc: datetime
    not_after_utc: datetime
    fingerprint: str

    @property
    def party(self) -> Party:
        """The post or customs house that this is."""
        return Party.of_urn(self.urn)

    @classmethod
    def load(cls, key: Path, certificate: Path) -> Identity:
        """Read a pair; SettingsError names the file and what is wrong with it (mode, curve, chain, name, not a pair).

        During a renewal the new certificate may for a moment still lie beside the old one as `<certificate>.new`; it is taken if it fits.
        """
        private = read_key(key)
        path, chain = _fitting(private, key, certificate)
        return cls._of(private, chain, path)

    @classmethod
    def _of(cls, private: ec.EllipticCurvePrivateKey, chain: list[x509.Certificate], path: Path) -> Identity:
        leaf, *rest = chain
        above = [each for each in rest if each.subject != each.issuer]  # an anchor never travels
        if len(above) + 1 > CHAIN_CERTIFICATES:
            raise SettingsError("chain-too-long", "more than two intermediates", field=str(path), value=len(above))
        try:
            uris = uris_of(leaf)
            Party.of_urn(uris[0] if len(uris) == 1 else "")
        except ValueError:
            raise SettingsError(
                "certificate-name",
                "the certificate must carry exactly one URI, a customs URN such as urn:customs:tj:customs",
                field=str(path),
            ) from None
        return cls(
            urn=uris[0],
            key=private,
            x5c=tuple(base64.b64encode(each.public_bytes(serialization.Encoding.DER)).decode() for each in (leaf, *above)),
            not_before_utc=leaf.not_valid_before_utc,
            not_after_utc=leaf.not_valid_after_utc,
            fingerprint=fingerprint_of(leaf),
        )


class Signer:
    """Who signs for one unit now. A renewed `identity` is put in its place while the unit works: ask for it at each signature."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity


def own_identity(party: Party, pair: KeyPair) -> Identity:
    """Load the pair of one of our own units; SettingsError where it is none, or speaks for another unit."""
    identity = Identity.load(pair.key, pair.certificate)
    if identity.party != party:
        text = f"the certificate speaks for another unit than {party.urn}: issue one with 'panj pki issue --unit {party.name}'"
        raise SettingsError("certificate-name", text, field=str(pair.certificate), value=identity.urn)
    return identity


def fitting_certificate(pair: KeyPair) -> Path:
    """The file of the certificate that fits the key: its own place or, during a renewal, `<certificate>.new`; SettingsError for neither."""
    return _fitting(read_key(pair.key), pair.key, pair.certificate)[0]


def _fitting(private: ec.EllipticCurvePrivateKey, key: Path, certificate: Path) -> tuple[Path, list[x509.Certificate]]:
    new = certificate.with_name(certificate.name + ".new")
    for path in (certificate, new) if new.exists() else (certificate,):
        chain = read_certificates(path)
        if chain[0].public_key() == private.public_key():
            return path, chain
    raise SettingsError("key-mismatch", f"the certificate was not issued for the key {key.name}", field=str(certificate))


def replace_pair(key: Path, certificate: Path, pem: bytes) -> None:
    """Put a renewed pair in place: the new key lies at `<key>.new`, `pem` is its certificate.

    The rename of the key is the one step that counts: before it the old pair is whole, after it `Identity.load` finds the new
    certificate at `<certificate>.new` or already in its place.
    """
    new_certificate, new_key = certificate.with_name(certificate.name + ".new"), key.with_name(key.name + ".new")
    write_atomically(new_certificate, pem)
    try:
        # RabbitMQ (Erlang's cache of PEM files) sees that a file was replaced only by a modification time after its last look, and a
        # renamed file keeps its own: a key that waited for its certificate would never be read, and the new certificate with the old key.
        os.utime(new_key)
        new_key.replace(key)
        new_certificate.replace(certificate)
    except OSError as error:
        raise PanjError("file-unwritable", f"cannot replace the pair: {error.strerror}", field=str(key)) from None


def request(key: Path, name: str) -> bytes:
    """Make a CSR (PEM) for the key in a file; `name` is a hint for people, the authority decides the names."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return x509.CertificateSigningRequestBuilder(subject).sign(read_key(key), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def key_of_request(csr: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a CSR (PEM), once its own signature proves that whoever asks holds it; UsageError otherwise, or when it is not P-256."""
    try:
        parsed = x509.load_pem_x509_csr(csr)
        key = parsed.public_key()
        proven = parsed.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError("request-invalid", "not a certificate signing request in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError("request-curve", "the request's key is not on the curve P-256")
    if not proven:
        raise UsageError("request-unproven", "the request is not signed by its own key")
    return key
