"""Certificates that run out on real brokers: seen through TLS and at logins before, told as the cause afterwards, healed by the next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.operations.expiries import of_administration, of_links
from broker.topology.check import judge
from broker.topology.diff import TopologyDiff
from broker.topology.observe import BrokerState, observe_broker
from broker.topology.shut import connections_of
from broker.trust.authority import Authority
from broker.trust.keys import read_certificates, read_key
from broker.trust.served import served_certificate
from tests.integration.topology.conftest import Frontier, Side
from tests.integration.topology.waiting import until


def short_lived(authority: Authority, key: Path, seconds: float) -> bytes:
    """A certificate for af's link that its authority would not issue: it runs out in some seconds."""
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "link-af")])
    issuer, signer, public = authority._certificate, authority._key, read_key(key).public_key()
    builder = x509.CertificateBuilder(
        issuer.subject, subject, public, x509.random_serial_number(), now - timedelta(hours=1), now + timedelta(seconds=seconds)
    )
    builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def state_of(side: Side) -> BrokerState:
    return observe_broker(side.settings)


def running(side: Side) -> bool:
    return all(link.running for link in state_of(side).links)


def cut_link(frontier: Frontier) -> None:
    """Close af's link at tj's broker: it connects again."""
    with frontier.tj.api() as api:
        for name in connections_of(api, "link-af"):
            api.delete("connections", name)


def codes(side: Side) -> set[str]:
    state = state_of(side)
    return {finding.code for finding in judge(side.settings, TopologyDiff(), state, of_links(side.settings, state))}


@pytest.fixture
def linked(applied: Frontier) -> Iterator[Frontier]:
    place = applied.af.administration.directory / "pki" / "link-to-tj.pem"
    certificate = place.read_bytes()
    assert until(lambda: running(applied.tj) and running(applied.af), 60)
    yield applied
    place.write_bytes(certificate)
    assert until(lambda: running(applied.tj) and running(applied.af), 60)


def test_the_certificates_that_both_brokers_show_are_seen_through_tls(linked: Frontier) -> None:
    settings = linked.tj.settings
    shown = served_certificate("127.0.0.1", linked.tj.node.amqps_port, "localhost", settings.house)
    assert shown == read_certificates(linked.tj.administration.broker_pair.certificate)[0]
    nobody = served_certificate("127.0.0.1", 1, "localhost")
    assert nobody is None
    found = {(life.kind, life.subject) for life in of_administration(settings, state_of(linked.tj), datetime.now(UTC))}
    assert {("certificate", "our broker"), ("partner's broker certificate", "link to af"), ("link certificate", "link to af")} <= found
    assert codes(linked.tj) <= {"topology-partner-away"}


@pytest.mark.timeout(240)
def test_a_link_whose_certificate_ran_out_is_told_before_and_as_the_cause_and_the_next_one_heals_it(linked: Frontier) -> None:
    tajik, afghan = linked.tj.administration, linked.af.administration
    place = afghan.directory / "pki" / "link-to-tj.pem"
    good = place.read_bytes()
    place.write_bytes(short_lived(tajik.authority, place.with_suffix(".key"), 15))
    ends = read_certificates(place)[0].not_valid_after_utc

    def logged_in_with_it() -> bool:
        cut_link(linked)
        return until(lambda: any(login.until_utc == ends for login in state_of(linked.tj).logins), 6)

    assert until(logged_in_with_it, 14)
    assert "topology-link-expiring" in codes(linked.tj)  # seen at the login, by the broker that let it in
    assert "topology-link-expiring" in codes(linked.af)  # and in the file, by whom it was issued for
    assert until(lambda: datetime.now(UTC) > ends + timedelta(seconds=1), 60)
    assert running(linked.af)  # TLS looks at certificates only when a connection is made
    cut_link(linked)
    assert until(lambda: not running(linked.af), 60)
    found = codes(linked.af)
    assert "topology-link-expired" in found
    assert "topology-link-down" not in found
    place.write_bytes(good)
    assert until(lambda: running(linked.af), 60)
    assert until(lambda: "topology-link-expired" not in codes(linked.af))
