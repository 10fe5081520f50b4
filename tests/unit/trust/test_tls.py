"""The pilot authority's certificates in TLS, as strictly as OpenSSL can be: who may connect to our broker, and who may not."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from broker.settings.model import KeyPair
from broker.trust.authority import Authority, create_authority
from broker.trust.keys import make_key, request
from schemas.names import Party


def context_of(anchor: Path, pair: KeyPair, *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(anchor)
    context.load_cert_chain(pair.certificate, pair.key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def connect(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> str:
    """Shake hands in memory and give the client's common name as the server saw it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    der = ends[1].getpeercert(binary_form=True)
    assert der is not None
    name = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert isinstance(name, str)
    return name


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return create_authority(tmp_path / "tj", "tj")


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return create_authority(tmp_path / "af", "af")


def link(ours: Authority, directory: Path, partner: str) -> KeyPair:
    pair = KeyPair(key=directory / "link.key", certificate=directory / "link.pem")
    make_key(pair.key)
    pair.certificate.write_bytes(ours.issue_link(request(pair.key, "hint"), partner))
    return pair


def test_a_post_and_a_partners_link_log_in_by_name(ours: Authority, theirs: Authority) -> None:
    broker = context_of(ours.anchor, ours.create_server("tj-broker", ["broker.example", "127.0.0.1"]), server=True)
    post = context_of(ours.anchor, ours.create_unit(Party("tj", "panji-poyon")), server=False)
    assert connect(broker, post, "broker.example") == "tj-panji-poyon"
    assert connect(broker, context_of(ours.anchor, link(ours, theirs.directory, "af"), server=False), "127.0.0.1") == "link-af"


def test_a_certificate_of_the_partners_own_authority_does_not_log_in(ours: Authority, theirs: Authority) -> None:
    broker = context_of(ours.anchor, ours.create_server("tj-broker", ["broker.example"]), server=True)
    minted = context_of(ours.anchor, theirs.create_unit(Party("af", "customs")), server=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(broker, minted, "broker.example")


def test_a_units_certificate_does_not_pass_for_the_broker_nor_the_brokers_for_a_user(ours: Authority) -> None:
    server, unit = ours.create_server("tj-broker", ["broker.example"]), ours.create_unit(Party("tj", "panji-poyon"))
    with pytest.raises(ssl.SSLError):
        connect(context_of(ours.anchor, unit, server=True), context_of(ours.anchor, unit, server=False), "broker.example")
    with pytest.raises(ssl.SSLError):
        connect(context_of(ours.anchor, server, server=True), context_of(ours.anchor, server, server=False), "broker.example")


def test_a_broker_is_known_by_its_host_name(ours: Authority) -> None:
    broker = context_of(ours.anchor, ours.create_server("tj-broker", ["broker.example"]), server=True)
    post = context_of(ours.anchor, ours.create_unit(Party("tj", "panji-poyon")), server=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(broker, post, "other.example")
