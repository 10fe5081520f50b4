"""What CRLs a customs house tells to whom, and when again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from broker.trust.crls import HeldCrl
from consumers.telling import Telling, Told, due, tellings
from schemas.names import Party, house_of

OURS, THEIRS = Party("tj", "panji-poyon"), Party("af", "sher-khan-bandar")
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def held(country: str, number: int = 1, issuer: str = "root") -> HeldCrl:
    return HeldCrl(country, f"{issuer} of {country}", number, NOW, NOW + timedelta(days=30), b"")


def told_to(found: list[Telling]) -> set[tuple[str, str, str]]:
    return {(one.lane, one.to.unit, one.crl.country) for one in found}


def test_neighbours_are_told_our_crl_and_our_own_posts_everybodys() -> None:
    crls = {"tj": [held("tj")], "af": [held("af")], "uz": [held("uz")]}
    found = tellings("tj", ["af", "uz", "tj"], [OURS, THEIRS], crls)
    assert told_to(found) == {
        ("af", "af-customs", "tj"),
        ("af", "af-sher-khan-bandar", "tj"),
        ("uz", "uz-customs", "tj"),
        ("tj", "tj-panji-poyon", "tj"),
        ("tj", "tj-panji-poyon", "af"),
        ("tj", "tj-panji-poyon", "uz"),
    }


def test_each_authority_of_ours_is_told_and_without_a_home_nothing_is() -> None:
    two = tellings("tj", ["af"], [], {"tj": [held("tj"), held("tj", issuer="middle")]})
    assert len({one.key for one in two}) == 2
    assert tellings("tj", ["af"], [OURS, THEIRS], {"af": [held("af")]}) == []


def test_a_number_is_told_once_until_it_is_due_again_and_a_newer_one_at_once() -> None:
    one, newer = Telling("af", house_of("af"), held("tj", 4)), Telling("af", house_of("af"), held("tj", 5))
    assert due([one], {}, 0.0) == [one]
    told = {one.key: Told(4, 100.0)}
    assert due([one], told, 99.0) == []
    assert due([one], told, 100.0) == [one]
    assert due([newer], told, 1.0) == [newer]
