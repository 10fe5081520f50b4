"""What the house keeps to prove what it took in: the signature of each bundle, and each CRL that one was checked against, once.

What is made of it for others stands in `consumers.exporting`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from broker.trust.crls import Crl
from broker.trust.signing import Signatory, b64url
from consumers.database import insert_missing
from consumers.tables import crl, evidence

_KEPT = "panj.crls"  # in connection.info: the CRLs that this connection has seen kept; it forgets when the connection ends


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """The signature of one bundle, kept as evidence for all its events."""

    bundle_digest: bytes
    jws: str
    signatory: Signatory
    received_at_utc: datetime


def write_evidence(connection: Connection, rows: Collection[EvidenceRow]) -> None:
    """Keep signatures that are not kept yet, and the CRLs that they were checked against."""
    _write_crls(connection, rows)
    insert_missing(
        connection,
        evidence,
        (
            {
                "bundle_digest": row.bundle_digest,
                "jws": row.jws,
                "signatory": row.signatory.urn,
                "fingerprint": row.signatory.fingerprint,
                "signed_at_utc": row.signatory.signed_at_utc,
                "received_at_utc": row.received_at_utc,
                "crls": [b64url(each.digest) for each in row.signatory.crls],
            }
            for row in sorted(rows, key=lambda row: row.bundle_digest)
        ),
    )


def _write_crls(connection: Connection, rows: Iterable[EvidenceRow]) -> None:
    """Keep CRLs that are not kept yet: they change once in days, so that nearly no batch asks the database about them."""
    seen: set[bytes] = connection.info.setdefault(_KEPT, set())
    new: dict[bytes, tuple[str, Crl, datetime]] = {}
    for row in rows:
        for each in row.signatory.crls:
            if each.digest not in seen:
                new[each.digest] = (row.signatory.country, each, row.received_at_utc)
    if not new:
        return
    kept = {bytes(found) for found in connection.execute(select(crl.c.digest).where(crl.c.digest.in_(sorted(new)))).scalars()}
    seen.update(kept)  # only what was there before this transaction, which may still be rolled back
    insert_missing(
        connection,
        crl,
        (
            {
                "digest": each.digest,
                "country": country,
                "issuer": each.issuer,
                "number": str(each.number),
                "this_update_utc": each.this_update_utc,
                "next_update_utc": each.next_update_utc,
                "first_seen_utc": seen_at_utc,
                "der": each.der,
            }
            for digest, (country, each, seen_at_utc) in sorted(new.items())
            if digest not in kept
        ),
    )
