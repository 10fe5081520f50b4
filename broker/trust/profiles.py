"""Parts of the certificates that the pilot authority issues: names of hosts, and what a key is for. Issuing stands in `authority`."""

from __future__ import annotations

import ipaddress

from cryptography import x509

from broker.trust.register import Kind
from schemas.errors import UsageError


def host_name(san: str) -> x509.GeneralName:
    """A host name or an IP address as a certificate names it; UsageError `host-invalid`."""
    try:
        return x509.IPAddress(ipaddress.ip_address(san))
    except ValueError:
        pass
    try:
        return x509.DNSName(san)
    except ValueError:
        raise UsageError("host-invalid", "neither a host name nor an IP address", value=san) from None


def key_usage(kind: Kind | None) -> x509.KeyUsage:
    """What a key of this kind is for; None: an authority's own, which signs certificates and CRLs."""
    return x509.KeyUsage(
        digital_signature=kind not in (None, Kind.ENCRYPTION),
        key_agreement=kind is Kind.ENCRYPTION,
        key_cert_sign=kind is None,
        crl_sign=kind is None,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        encipher_only=False,
        decipher_only=False,
    )
