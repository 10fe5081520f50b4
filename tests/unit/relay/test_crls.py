"""CRLs that come to a post: from the house of the lane its own country's, from its own house everybody's."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broker.bundle.pack import Route, control_event, pack
from broker.ports import Delivery
from broker.relay.arrivals import Arrived, Mailbox
from broker.trust.anchors import TrustStore
from broker.trust.authority import Authority, create_authority
from broker.trust.keys import Identity
from schemas.event import digest_of
from schemas.names import EventType, Party, house_of
from tests.unit.relay.frontier import identity_of

POST = Party("tj", "panji-poyon")


class Desk:
    """A post that pins three authorities, and their customs houses."""

    def __init__(self, directory: Path) -> None:
        self.authorities: dict[str, Authority] = {country: create_authority(directory / country, country) for country in ("tj", "af", "uz")}
        self.houses: dict[str, Identity] = {name: identity_of(each, house_of(name)) for name, each in self.authorities.items()}
        (directory / "kept").mkdir()
        kept = {country: directory / "kept" / country for country in ("tj", "af")}
        self.trust = TrustStore({country: self.authorities[country].anchor for country in ("tj", "af")}, kept)

    def bring(self, lane: str, country: str | None, **changes: Any) -> Arrived:
        """Let the house of a lane bring the newest CRL of a country (of its own, where it names none)."""
        authority = self.authorities[country or lane]
        data = {"crl_number": authority.register.crl_number, "der": base64.b64encode(authority.crl.read_bytes()).decode()}
        data |= ({} if country is None else {"country": country}) | changes
        now = datetime.now(UTC)
        house = house_of(lane)
        words = {"environment": "test", "purpose": "x", "legal_basis": "x", "subject": "x"}
        raw = control_event(EventType.CRL.value, house, POST, data=data, now=now, **words)
        message = pack(Route(house, POST, EventType.CRL.value), [raw], [digest_of(raw)], self.houses[lane], now)
        return Mailbox(lane, POST, "test", self.trust).open([Delivery(message, POST.unit, 0, 1)], now)

    def numbers(self, country: str) -> list[int]:
        return [held.number for held in self.trust.held_crls(country)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(("lane", "country", "kept"), [("af", None, "af"), ("af", "af", "af"), ("tj", None, "tj"), ("tj", "af", "af")])
def test_a_crl_is_kept_from_its_own_house_and_relayed_by_ours(desk: Desk, lane: str, country: str | None, kept: str) -> None:
    for _ in range(2):  # coming again changes nothing
        assert desk.bring(lane, country).parked == []
        assert desk.numbers(kept) == [1]


def test_a_neighbour_brings_no_other_countrys_crl(desk: Desk) -> None:
    (parked,) = desk.bring("af", "tj").parked
    assert parked.code == "crl-country-foreign"
    assert desk.numbers("tj") == []


def test_a_crl_that_its_authority_did_not_sign_or_with_another_number_is_not_kept(desk: Desk) -> None:
    other = base64.b64encode(desk.authorities["af"].crl.read_bytes()).decode()
    for changes in ({"der": other}, {"crl_number": 2}, {"der": "AAAA"}):
        (parked,) = desk.bring("tj", None, **changes).parked
        assert parked.code == "crl-invalid"
    assert desk.numbers("tj") == []


def test_a_relayed_crl_of_a_country_that_this_post_does_not_know_is_left(desk: Desk) -> None:
    assert desk.bring("tj", "uz").parked == []
