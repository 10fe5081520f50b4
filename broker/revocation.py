"""CRLs as control events: made of what a trust store holds, and taken from where a lane may bring them.

A CRL vouches for itself: whoever brings it, it counts only when the authority of its country signed it. Whom it is sent to is decided in
the customs house. Shape and rules: docs/protocol.md, section 8.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

import structlog

from broker.bundle.pack import Route, control_event, pack
from broker.ports import Message
from broker.trust.anchors import TrustStore
from broker.trust.crls import HeldCrl
from broker.trust.keys import Identity
from schemas.control import CRL_CHARACTERS, Crl
from schemas.errors import ContentError, DistrustError, UsageError
from schemas.event import digest_of
from schemas.names import EventType, Party

PURPOSE = "exchange-control"
LEGAL_BASIS = "bilateral protocol on electronic exchange"

log = structlog.get_logger()


def crl_message(held: HeldCrl, house: Party, to: Party, environment: str, identity: Identity, now: datetime) -> Message:
    """Make the message that brings a CRL from a customs house to another unit; UsageError `crl-too-large` past the protocol's limit."""
    der = base64.b64encode(held.der).decode()
    if len(der) > CRL_CHARACTERS:
        text = "the CRL is too large to travel: take it to the partner by hand, and let certificates live shorter"
        raise UsageError("crl-too-large", text, value=f"{len(held.der)} bytes")
    raw = control_event(
        EventType.CRL.value,
        house,
        to,
        environment=environment,
        purpose=PURPOSE,
        legal_basis=LEGAL_BASIS,
        subject=f"CRL {held.number} of {held.country}",
        data=Crl(crl_number=held.number, der=der, country=held.country),
        now=now,
    )
    return pack(Route(house, to, EventType.CRL.value), [raw], [digest_of(raw)], identity, now)


def take_crl(said: Crl, trust: TrustStore, lane: str, own_country: str) -> bool:
    """Keep a CRL that came through `lane`, if it is newer than the one held; say whether it was.

    A partner's lane brings that partner's CRLs only, our own lane any country's, relayed by our house; one of a country that we do not
    know is left. DistrustError `crl-country-foreign`, `crl-invalid` (also where `crl_number` is not the list's own), ContentError.
    """
    country = lane if said.country is None else said.country
    if lane not in (country, own_country):
        raise DistrustError(
            "crl-country-foreign", f"the lane of {lane} brings its own authority's CRLs only", field="country", value=country
        )
    try:
        der = base64.b64decode(said.der, validate=True)
    except binascii.Error:
        raise ContentError("field-invalid", "not base64", field="der") from None
    if country not in trust.countries:
        log.info("crl.ignored", country=country, number=said.crl_number, reason="no anchor is pinned for this country here")
        return False
    taken = trust.take_crl(country, der, said.crl_number)
    if taken:
        log.info("crl.received", country=country, number=said.crl_number, lane=lane)
    return taken
