"""Whom the trust store believes."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker.trust.anchors import TrustStore
from broker.trust.crls import AUTHORITIES
from schemas.errors import DistrustError, SettingsError
from tests.unit.trust.certificates import NOW, URN, Pair, crl, leaf, make, p256, root, trust_in

ROOT = root("root of tj")
FOREIGN = root("root of af")


def refusal(trust: TrustStore, *chain: Pair, country: str | None = "tj", now: datetime = NOW) -> str:
    with pytest.raises(DistrustError) as caught:
        trust.speaker([each.x5c for each in chain], country, now)
    return caught.value.code


@pytest.fixture
def trust(tmp_path: Path) -> TrustStore:
    return trust_in(tmp_path, tj=ROOT, af=FOREIGN)


def test_a_leaf_of_the_pinned_anchor_speaks_for_its_urn(trust: TrustStore) -> None:
    end = leaf(ROOT)
    speaker = trust.speaker([end.x5c], "tj", NOW)
    assert (speaker.urn, speaker.country, speaker.not_after_utc) == (URN, "tj", NOW + timedelta(days=100))


def test_two_intermediates_are_taken_and_a_third_is_not(trust: TrustStore) -> None:
    one = make("one", ROOT, ca=True)
    two = make("two", one, ca=True)
    three = make("three", two, ca=True)
    end = leaf(two)
    assert trust.speaker([end.x5c, two.x5c, one.x5c], "tj", NOW).urn == URN
    assert refusal(trust, end, one, two) == "trust-path"  # another order than RFC 7515 asks for
    assert refusal(trust, end, two) == "trust-path"
    assert refusal(trust, leaf(three), three, two, one) == "trust-chain-length"


def test_a_stray_certificate_in_the_chain_is_refused(trust: TrustStore) -> None:
    assert refusal(trust, leaf(ROOT), make("stray", ROOT, ca=True)) == "trust-path"
    assert refusal(trust, leaf(ROOT), ROOT) == "trust-path"  # an anchor never travels


def test_a_path_length_is_kept(trust: TrustStore) -> None:
    short = make("short", ROOT, ca=True, path_length=0)
    below = make("below", short, ca=True)
    assert refusal(trust, leaf(below), below, short) == "trust-path"


def test_an_intermediate_that_is_no_authority_cannot_issue(trust: TrustStore) -> None:
    unit = leaf(ROOT)
    assert refusal(trust, leaf(unit, "urn:customs:tj:customs"), unit) == "trust-path"
    no_usage = make("no usage", ROOT, ca=True, usage="none")
    assert refusal(trust, leaf(no_usage), no_usage) == "trust-path"


def test_a_signature_by_another_key_of_the_same_name_is_refused(trust: TrustStore) -> None:
    assert refusal(trust, leaf(root("root of tj"))) == "trust-path"


def test_an_anchor_speaks_for_its_own_country_only(trust: TrustStore) -> None:
    assert refusal(trust, leaf(FOREIGN), country=None) == "trust-path"
    assert refusal(trust, leaf(FOREIGN, "urn:customs:af:customs"), country="tj") == "trust-country-mismatch"
    assert trust.speaker([leaf(FOREIGN, "urn:customs:af:customs").x5c], "af", NOW).country == "af"
    assert refusal(trust, leaf(ROOT, "urn:customs:uz:termez"), country=None) == "trust-country-unknown"


def test_a_remembered_verdict_still_asks_for_the_country(trust: TrustStore) -> None:
    end = leaf(ROOT)
    trust.speaker([end.x5c], "tj", NOW)
    assert refusal(trust, end, country="af") == "trust-country-mismatch"


@pytest.mark.parametrize(
    "uris",
    [
        (),
        (URN, "urn:customs:tj:customs"),
        (URN, URN),
        (URN, "https://example.tj"),
        ("urn:customs:TJ:panji-poyon",),
        ("urn:customs:tj:panji-poyon\n",),
        ("urn:customs:tj:panji_poyon",),
        ("https://example.tj",),
    ],
)
def test_a_leaf_without_exactly_one_urn_is_refused(trust: TrustStore, uris: tuple[str, ...]) -> None:
    assert refusal(trust, make("leaf", ROOT, uris=uris)) == "trust-name"


def test_other_names_beside_the_one_urn_do_no_harm(trust: TrustStore) -> None:
    assert trust.speaker([make("leaf", ROOT, uris=(URN,), dns=("post.example.tj",)).x5c], "tj", NOW).urn == URN


def test_a_leaf_must_be_allowed_to_sign(trust: TrustStore) -> None:
    assert refusal(trust, leaf(ROOT, usage="none")) == "trust-usage"
    assert refusal(trust, leaf(ROOT, usage=None)) == "trust-usage"
    assert refusal(trust, make("authority", ROOT, ca=True, uris=(URN,))) == "trust-usage"


def test_an_authority_signs_no_events_even_where_its_key_usage_would_let_it(trust: TrustStore) -> None:
    both = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    assert refusal(trust, make("authority", ROOT, ca=True, usage=None, uris=(URN,), extra=[(both, True)])) == "trust-usage"


def test_only_keys_on_p256_sign(trust: TrustStore) -> None:
    assert refusal(trust, leaf(ROOT, key=ec.generate_private_key(ec.SECP384R1()))) == "trust-curve"
    assert refusal(trust, leaf(ROOT, key=ec.generate_private_key(ec.SECP256K1()))) == "trust-curve"
    assert refusal(trust, leaf(ROOT, key=rsa.generate_private_key(65537, 2048))) == "trust-curve"


def test_an_administration_may_have_an_rsa_or_p384_authority(tmp_path: Path) -> None:
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())):
        anchor = root("big root", key=key)
        assert trust_in(tmp_path, tj=anchor).speaker([leaf(anchor).x5c], "tj", NOW).urn == URN


def test_validity_is_judged_at_the_receivers_clock_with_tolerance(trust: TrustStore) -> None:
    end = leaf(ROOT, since=NOW, until=NOW + timedelta(days=2))
    x5c, second, tolerance = [end.x5c], timedelta(seconds=1), timedelta(seconds=300)
    for _ in range(2):  # afresh and remembered
        assert trust.speaker(x5c, "tj", NOW - tolerance).urn == URN
        assert trust.speaker(x5c, "tj", NOW + timedelta(days=2) + tolerance).urn == URN
        assert refusal(trust, end, now=NOW - tolerance - second) == "trust-not-yet-valid"
        assert refusal(trust, end, now=NOW + timedelta(days=2) + tolerance + second) == "trust-expired"


def test_every_certificate_of_the_path_must_be_valid(tmp_path: Path) -> None:
    old_root = root("old", until=NOW - timedelta(days=1), since=NOW - timedelta(days=9))
    assert refusal(trust_in(tmp_path, tj=old_root), leaf(old_root)) == "trust-expired"
    middle = make("middle", ROOT, ca=True, since=NOW + timedelta(days=1))
    assert refusal(trust_in(tmp_path, tj=ROOT), leaf(middle), middle) == "trust-not-yet-valid"


def test_an_unknown_critical_extension_is_refused(trust: TrustStore) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert refusal(trust, leaf(ROOT, extra=[(unknown, True)])) == "trust-path"
    assert trust.speaker([leaf(ROOT, extra=[(unknown, False)]).x5c], "tj", NOW).urn == URN


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "MII=", " ", "é"])
def test_what_is_no_certificate_is_refused(trust: TrustStore, text: str) -> None:
    with pytest.raises(DistrustError) as caught:
        trust.speaker([text], "tj", NOW)
    assert caught.value.code == "trust-certificate-unreadable"


def test_a_certificate_in_other_base64_is_refused(trust: TrustStore) -> None:
    text = leaf(ROOT).x5c
    for other in (text[:60] + "\n" + text[60:], text + "AAAA", text + "===="):
        with pytest.raises(DistrustError) as caught:
            trust.speaker([other], "tj", NOW)
        assert caught.value.code == "trust-certificate-unreadable"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_certificate_with_any_bit_flipped_never_speaks(trust: TrustStore) -> None:
    der = bytearray(base64.b64decode(leaf(ROOT).x5c))
    for index in range(len(der)):
        der[index] ^= 1 << (index % 8)
        with pytest.raises(DistrustError):
            trust.speaker([base64.b64encode(der).decode()], "tj", NOW)
        der[index] ^= 1 << (index % 8)


def test_a_revoked_leaf_is_refused_after_a_reload_without_restart(trust: TrustStore, tmp_path: Path) -> None:
    end = leaf(ROOT)
    assert trust.speaker([end.x5c], "tj", NOW).urn == URN
    (tmp_path / "tj" / "1.crl").write_bytes(crl(ROOT, 1, [end.certificate.serial_number]))
    assert trust.reload()
    assert refusal(trust, end) == "trust-revoked"
    assert not trust.reload()


def test_a_revoked_intermediate_takes_its_leaves_with_it(trust: TrustStore, tmp_path: Path) -> None:
    middle = make("middle", ROOT, ca=True)
    (tmp_path / "tj" / "1.crl").write_bytes(crl(ROOT, 1, [middle.certificate.serial_number]))
    trust.reload()
    assert refusal(trust, leaf(middle), middle) == "trust-revoked"


def test_an_intermediates_own_crl_is_honoured(trust: TrustStore, tmp_path: Path) -> None:
    middle = make("middle", ROOT, ca=True)
    end = leaf(middle)
    (tmp_path / "tj" / "middle.crl").write_bytes(crl(middle, 7, [end.certificate.serial_number]))
    trust.reload()
    assert refusal(trust, end, middle) == "trust-revoked"


def test_the_newest_crl_wins_and_never_goes_back(trust: TrustStore, tmp_path: Path) -> None:
    end, place = leaf(ROOT), tmp_path / "tj"
    (place / "new.crl").write_bytes(crl(ROOT, 9, [end.certificate.serial_number]))
    (place / "old.crl").write_bytes(crl(ROOT, 8))
    trust.reload()
    assert refusal(trust, end) == "trust-revoked"
    (place / "new.crl").unlink()
    trust.reload()
    assert refusal(trust, end) == "trust-revoked"
    (place / "newer.crl").write_bytes(crl(ROOT, 10))
    trust.reload()
    assert trust.speaker([end.x5c], "tj", NOW).urn == URN


def test_a_crl_of_a_stranger_or_broken_changes_nothing(trust: TrustStore, tmp_path: Path) -> None:
    end, place = leaf(ROOT), tmp_path / "tj"
    serial = [end.certificate.serial_number]
    (place / "forged.crl").write_bytes(crl(root("root of tj"), 9, serial))
    (place / "foreign.crl").write_bytes(crl(FOREIGN, 9, serial))
    (place / "numberless.crl").write_bytes(crl(ROOT, None, serial))
    (place / "partial.crl").write_bytes(crl(ROOT, 9, serial, extra=[(x509.DeltaCRLIndicator(1), True)]))
    (place / "broken.crl").write_bytes(b"no crl")
    (place / "directory.crl").mkdir()
    trust.reload()
    assert trust.speaker([end.x5c], "tj", NOW).urn == URN
    assert [each.state for each in trust.expiries(NOW) if each.kind == "crl" and each.country == "tj"] == ["missing"]


def test_an_issuer_that_may_not_sign_crls_is_not_believed(tmp_path: Path) -> None:
    key = p256()
    usage = x509.KeyUsage(True, False, False, False, False, True, False, False, False)
    anchor = make("mute", ca=True, usage=None, key=key, extra=[(usage, True)])
    trust = trust_in(tmp_path, tj=anchor)
    (tmp_path / "tj" / "1.crl").write_bytes(crl(anchor, 1))
    trust.reload()
    assert trust.expiries(NOW)[1].state == "missing"


def test_an_expired_crl_is_an_alarm_at_once_and_parks_after_its_days_of_grace(trust: TrustStore, tmp_path: Path) -> None:
    end, ran_out = leaf(ROOT), NOW - timedelta(hours=1)
    (tmp_path / "tj" / "1.crl").write_bytes(crl(ROOT, 3, until=ran_out))
    trust.reload()
    for _ in range(2):  # afresh and remembered
        assert trust.speaker([end.x5c], "tj", NOW).urn == URN
        assert trust.speaker([end.x5c], "tj", ran_out + timedelta(days=7, seconds=300)).urn == URN
        assert refusal(trust, end, now=ran_out + timedelta(days=7, seconds=301)) == "trust-crl-stale"
    found = {(each.country, each.kind): each for each in trust.expiries(NOW)}
    assert (found["tj", "crl"].state, found["tj", "crl"].crl_number) == ("expired", 3)
    assert (found["af", "crl"].state, found["tj", "anchor"].state) == ("missing", "current")
    assert {each.state for each in trust.expiries(NOW + timedelta(days=8)) if each.kind == "crl"} == {"stale", "missing"}


def test_who_brings_a_crl_is_let_in_with_a_stale_one_and_ends_that(trust: TrustStore, tmp_path: Path) -> None:
    end, later = leaf(ROOT), NOW + timedelta(days=40)
    (tmp_path / "tj" / "1.crl").write_bytes(crl(ROOT, 3))
    trust.reload()
    assert refusal(trust, end, now=later) == "trust-crl-stale"
    assert trust.speaker([end.x5c], "tj", later, brings_crl=True).urn == URN
    assert trust.take_crl("tj", crl(ROOT, 4, until=later + timedelta(days=1)))
    assert trust.speaker([end.x5c], "tj", later).urn == URN


def test_who_is_revoked_or_expired_brings_no_crl(trust: TrustStore, tmp_path: Path) -> None:
    end = leaf(ROOT)
    (tmp_path / "tj" / "1.crl").write_bytes(crl(ROOT, 3, [end.certificate.serial_number]))
    trust.reload()
    for now, code in ((NOW, "trust-revoked"), (NOW + timedelta(days=200), "trust-expired")):
        with pytest.raises(DistrustError) as caught:
            trust.speaker([end.x5c], "tj", now, brings_crl=True)
        assert caught.value.code == code


def test_a_missing_crl_is_an_alarm_and_parks_nothing(trust: TrustStore) -> None:
    assert trust.speaker([leaf(ROOT).x5c], "tj", NOW + timedelta(days=90)).stale_from_utc is None


def test_the_days_of_grace_are_each_countrys_own(tmp_path: Path) -> None:
    trust_in(tmp_path, tj=ROOT)
    (tmp_path / "tj" / "1.crl").write_bytes(crl(ROOT, 3, until=NOW))
    strict = TrustStore({"tj": tmp_path / "tj.pem"}, {"tj": tmp_path / "tj"}, 0, {"tj": 0})
    end = leaf(ROOT)
    assert strict.speaker([end.x5c], "tj", NOW).urn == URN
    assert refusal(strict, end, now=NOW + timedelta(seconds=1)) == "trust-crl-stale"


def test_a_crl_that_cannot_be_written_counts_until_the_end_of_the_process(tmp_path: Path) -> None:
    trust_in(tmp_path, tj=ROOT)
    (tmp_path / "file").write_bytes(b"")
    trust = TrustStore({"tj": tmp_path / "tj.pem"}, {"tj": tmp_path / "file" / "below"})
    end = leaf(ROOT)
    assert trust.take_crl("tj", crl(ROOT, 5, [end.certificate.serial_number]))
    assert refusal(trust, end) == "trust-revoked"
    trust.reload()
    assert refusal(trust, end) == "trust-revoked"


def test_a_crl_that_came_over_the_wire_is_kept_if_newer(trust: TrustStore, tmp_path: Path) -> None:
    end = leaf(ROOT)
    assert trust.take_crl("tj", crl(ROOT, 5, [end.certificate.serial_number]))
    assert refusal(trust, end) == "trust-revoked"
    assert not trust.take_crl("tj", crl(ROOT, 5))
    assert not trust.take_crl("tj", crl(ROOT, 4))
    assert trust.take_crl("tj", crl(ROOT, 6, [end.certificate.serial_number]))
    again = TrustStore({"tj": tmp_path / "tj.pem"}, {"tj": tmp_path / "tj"})
    assert refusal(again, end) == "trust-revoked"


def test_a_crl_over_the_wire_must_be_its_authoritys_own(trust: TrustStore) -> None:
    for country, content in (("tj", crl(FOREIGN, 5)), ("tj", b"nothing"), ("uz", crl(ROOT, 5))):
        with pytest.raises(DistrustError) as caught:
            trust.take_crl(country, content)
        assert caught.value.code in ("crl-invalid", "trust-country-unknown")


def test_an_intermediates_crl_over_the_wire_is_kept_once_its_chain_was_seen(trust: TrustStore) -> None:
    middle = make("middle", ROOT, ca=True)
    end = leaf(middle)
    content = crl(middle, 2, [end.certificate.serial_number])
    with pytest.raises(DistrustError):
        trust.take_crl("tj", content)
    trust.speaker([end.x5c, middle.x5c], "tj", NOW)
    assert trust.take_crl("tj", content)
    assert refusal(trust, end, middle) == "trust-revoked"


def test_a_new_anchor_is_taken_up_and_a_broken_one_is_not(trust: TrustStore, tmp_path: Path) -> None:
    place, end = tmp_path / "tj.pem", leaf(ROOT)
    place.write_bytes(b"broken")
    trust.reload()
    assert trust.speaker([end.x5c], "tj", NOW).urn == URN
    other = root("next root of tj")
    place.write_bytes(other.pem)
    os.utime(place, ns=(1, 1))
    assert trust.reload()
    assert refusal(trust, end) == "trust-path"
    assert trust.speaker([leaf(other).x5c], "tj", NOW).urn == URN


def test_an_issuing_authority_may_be_pinned_instead_of_its_root(tmp_path: Path) -> None:
    middle = make("middle", ROOT, ca=True)
    trust = trust_in(tmp_path, tj=middle)
    assert trust.speaker([leaf(middle).x5c], "tj", NOW).urn == URN
    assert refusal(trust, leaf(ROOT)) == "trust-path"


def test_a_units_own_certificate_is_not_pinned(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        trust_in(tmp_path, tj=leaf(ROOT))
    assert caught.value.code == "anchor-no-authority"


def test_an_anchor_file_holds_one_certificate(tmp_path: Path) -> None:
    for content, code in ((ROOT.pem + FOREIGN.pem, "anchor-count"), (b"", "certificate-unreadable"), (None, "file-unreadable")):
        if content is not None:
            (tmp_path / "tj.pem").write_bytes(content)
        else:
            (tmp_path / "tj.pem").unlink()
        with pytest.raises(SettingsError) as caught:
            TrustStore({"tj": tmp_path / "tj.pem"}, {})
        assert caught.value.code == code


def test_an_authority_that_makes_authorities_without_end_fills_neither_memory_nor_disk(trust: TrustStore, tmp_path: Path) -> None:
    taken = 0
    for number in range(AUTHORITIES + 10):
        middle = make(f"middle {number}", ROOT, ca=True)
        assert trust.speaker([leaf(middle).x5c, middle.x5c], "tj", NOW).urn == URN
        with suppress(DistrustError):
            taken += trust.take_crl("tj", crl(middle, 1))
    assert taken == AUTHORITIES
    assert len(list((tmp_path / "tj").iterdir())) == AUTHORITIES
    assert len(trust.held_crls("tj")) == AUTHORITIES
    end = leaf(ROOT)
    (tmp_path / "tj" / "own.crl").write_bytes(crl(ROOT, 1, [end.certificate.serial_number]))  # what a person puts there still counts
    trust.reload()
    assert refusal(trust, end) == "trust-revoked"
