"""Who gets into a broker at all: TLS of other versions, no certificate, certificates of others, and what a partner could mint."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pika.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.trust.keys import uris_of
from schemas.errors import PanjError
from schemas.names import Party
from tests.attacks.live.ground import Ground, make_client_certificate
from tests.attacks.live.rights import FAMILY, User, connect
from tests.attacks.rows import Row
from tests.unit.trust.certificates import Pair, make, root

SECONDS = 5.0


def attack_doors(ground: Ground) -> Iterator[Row]:
    """A row for each way in."""
    link = User(ground.af, "tj", ground.tj.directory / "pki" / "link-to-af.pem", ground.af.authority.anchor)
    yield _versions(ground, link)
    yield _without_tls(ground)
    yield _certificates(ground, link)
    yield _minted(ground)


def _handshake(ground: Ground, user: User | None, shape: Callable[[ssl.SSLContext], object]) -> bool:
    """Whether the broker of af speaks AMQP after a handshake of this shape. In TLS 1.3 a refusal comes with the first read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        if user:
            context.load_cert_chain(user.certificate, user.key)
        shape(context)
        plain = socket.create_connection(("127.0.0.1", ground.lab.nodes["af"].amqps_port), SECONDS)
        with plain, context.wrap_socket(plain, server_hostname="localhost") as channel:
            channel.settimeout(SECONDS)
            channel.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(channel.recv(16))
    except (OSError, ValueError):
        return False


def _versions(ground: Ground, link: User) -> Row:
    """TLS below 1.2 and weak ciphers, with the right certificate."""

    def version(highest: ssl.TLSVersion) -> Callable[[ssl.SSLContext], object]:
        def shape(context: ssl.SSLContext) -> None:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = highest

        return shape

    def ciphers(names: str) -> Callable[[ssl.SSLContext], object]:
        def shape(context: ssl.SSLContext) -> None:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(f"{names}:@SECLEVEL=0")

        return shape

    shapes = {name: version(each) for name, each in (("1.0", ssl.TLSVersion.TLSv1), ("1.1", ssl.TLSVersion.TLSv1_1))}
    shapes |= {name: ciphers(name) for name in ("aNULL", "eNULL", "EXPORT", "RC4", "3DES", "PSK", "ADH", "AECDH")}
    let_in = tuple(f"TLS {name}" for name, shape in shapes.items() if _handshake(ground, link, shape))
    seen = all(_handshake(ground, link, version(each)) for each in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
    return Row(FAMILY, "TLS below 1.2, weak ciphers", len(shapes), len(let_in), 0, seen, "1.2 and 1.3 are taken", let_in)


def _without_tls(ground: Ground) -> Row:
    """AMQP, HTTP and nonsense in the clear, to every port on which a broker listens for others."""
    said = (
        b"AMQP\x00\x00\x09\x01",
        b"AMQP\x00\x01\x00\x00",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 64,
        b"CONNECT\n\n\x00",
        b"\x16\x03\x00" + b"\xff" * 60,
    )
    let_in = []
    for country in ("tj", "af"):
        for words in said:
            with socket.create_connection(("127.0.0.1", ground.lab.nodes[country].amqps_port), SECONDS) as plain:
                plain.settimeout(SECONDS)
                try:
                    plain.sendall(words)
                    answer = plain.recv(64)
                except OSError:
                    continue
            if answer[:1] not in (b"", b"\x15"):  # 0x15: a TLS alert
                let_in.append(f"{country} answers {words[:8]!r} with {answer[:16]!r}")
    return Row(FAMILY, "without TLS: AMQP, HTTP, MQTT, nonsense", 2 * len(said), len(let_in), 0, None, "", tuple(let_in))


def _certificates(ground: Ground, link: User) -> Row:
    """Certificates that are not of this broker's own authority, or of it and not a client's."""
    place = ground.lab.directory / "knocking"
    place.mkdir(mode=0o700, exist_ok=True)
    now = datetime.now(UTC)
    ours, theirs, stranger = ground.authority(ground.af), ground.authority(ground.tj), root("stranger", until=now + timedelta(days=1))
    common = ours.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    twin = root(str(common), until=now + timedelta(days=1))
    knocking = [
        User(ground.af, "tj", ground.tj.directory / "pki" / f"tj-{name}.pem", ground.af.authority.anchor)
        for name in ("customs", "panji-poyon")
    ]
    for issuer, issuer_name in ((theirs, "tj"), (stranger, "stranger"), (twin, "twin")):
        for name in ("link-tj", "panj-admin", "af-customs", "guest"):
            made = place / f"{issuer_name}-{name}.pem"
            make_client_certificate(issuer, name, made)
            knocking.append(User(ground.af, "tj", made, ground.af.authority.anchor))
    expired = make("link-tj", ours, since=now - timedelta(days=9), until=now - timedelta(days=1))
    below_unit = make("link-tj", make("af-eshkashim", ours, until=now + timedelta(days=1)), until=now + timedelta(days=1))
    self_signed = make("link-tj", until=now + timedelta(days=1))
    nobody = make("nobody-of-ours", ours, since=now - timedelta(days=1), until=now + timedelta(days=1))
    for name, pair in (("expired", expired), ("below-a-unit", below_unit), ("self-signed", self_signed), ("nobody", nobody)):
        knocking.append(User(ground.af, "tj", _written(place / f"{name}.pem", pair), ground.af.authority.anchor))
    knocking.append(User(ground.af, "tj", ground.af.directory / "pki" / "broker.pem", ground.af.authority.anchor))
    let_in = [user.certificate.name for user in knocking if _gets_in(ground, user)]
    if _handshake(ground, None, lambda _: None):
        let_in.append("no certificate")
    name = "no certificate; certificates of others, expired, self-made, of a broker, with the names of users"
    return Row(FAMILY, name, len(knocking) + 1, len(let_in), 0, _gets_in(ground, link), "", tuple(let_in))


def _gets_in(ground: Ground, user: User) -> bool:
    try:
        connect(ground, user).close()
    except (pika.exceptions.AMQPError, OSError):
        return False
    return True


def _written(place: Path, pair: Pair) -> Path:
    key = pair.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    place.write_bytes(pair.pem)
    place.with_suffix(".key").touch(mode=0o600)
    place.with_suffix(".key").write_bytes(key)
    return place


def _minted(ground: Ground) -> Row:
    """What a partner asks our authority for in its request: another name, a URN, an authority's powers. It gets a link and no more."""
    authority = ground.af.authority
    asked = [
        [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        for name in ("panj-admin", "af-customs", "link-uz", "link-tj,CN=panj-admin", "link-tj\0panj-admin")
    ]
    asked.append([x509.NameAttribute(NameOID.COMMON_NAME, "link-tj"), x509.NameAttribute(NameOID.COMMON_NAME, "panj-admin")])
    wrongs, tries = [], 0
    for attributes in asked:
        tries += 1
        wrongs += _too_much(authority.issue_link(_request(attributes), "tj"))
    refused: list[Callable[[], object]] = [
        lambda: authority.issue_link(_request(asked[0]), "af"),
        lambda: authority.issue_link(_request(asked[0]), "TJ"),
        lambda: authority.issue_link(_request(asked[0]), "tj-customs"),
        lambda: authority.issue_unit(Party("tj", "customs"), _request(asked[0])),
        lambda: authority.issue_link(_request(asked[0], key=ec.generate_private_key(ec.SECP384R1())), "tj"),
        lambda: authority.issue_link(b"-----BEGIN CERTIFICATE REQUEST-----\n", "tj"),
    ]
    for attempt in refused:
        tries += 1
        try:
            attempt()
        except PanjError:
            continue
        wrongs.append("the authority issued what it should have refused")
    return Row(FAMILY, "requests to our authority for more than a link", tries, len(wrongs), 0, None, "", tuple(wrongs))


def _request(attributes: list[x509.NameAttribute[str]], key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:customs:af:customs"), x509.DNSName("broker.customs.af")])
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder(x509.Name(attributes)).add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _too_much(pem: bytes) -> list[str]:
    certificate = x509.load_pem_x509_certificate(pem)
    found = []
    names = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != ["link-tj"]:
        found.append(f"a link's certificate names {names}")
    if uris_of(certificate):
        found.append("a link's certificate has a URN")
    if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        found.append("a link's certificate is an authority's")
    return found
