"""What an evidence file proves, and precisely what it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from broker.evidence.findings import State
from broker.trust.crls import Crl
from broker.trust.signing import b64url, sign
from broker.trust.testimony import PinnedAnchor
from schemas.control import Digest
from schemas.event import digest_of
from schemas.evidence import Account, EventEvidence, Statement
from schemas.names import EventType, Party
from tests.unit.evidence.cases import (
    AF,
    ASKED,
    BOTH,
    HOUSE,
    HOUSE_PAIR,
    POST,
    POST_PAIR,
    RECEIVER,
    SENDER,
    TJ,
    TJ_CRL,
    Crossing,
    account,
    control,
    event,
    found,
    judged,
    listed,
    revoking,
    spoiled,
    wrong,
)
from tests.unit.trust.certificates import NOW, crl, identity, leaf, make, root

CROSSING = Crossing()
SIDES: dict[str, Callable[[Crossing], Account]] = {"post": Crossing.of_post, "house": Crossing.of_house}


@pytest.mark.parametrize("side", SIDES)
def test_a_whole_file_proves_who_said_what_and_when(side: str) -> None:
    verdict = judged(CROSSING.file(SIDES[side](CROSSING)))
    assert wrong(verdict) == []
    assert verdict.holds
    (signature,) = found(verdict, "signature")
    signed = "2026-11-24T14:00:00Z" if side == "post" else "2026-11-24T12:00:00Z"
    assert signature.text.startswith(f"{POST.urn} signed these bytes, by its own clock {signed}; its certificate ")
    assert "issued by CN=authority of tj, valid 2026-11-23T12:00:00Z to 2027-03-04T12:00:00Z" in signature.text
    assert signature.text.endswith(", not revoked on CRL 14 of 2026-11-23T12:00:00Z")
    assert found(verdict, "receipt")[0].text.startswith(f"{HOUSE.urn} answered LOADED for exactly this event")
    assert found(verdict, "closing")[0].text == f"closing 17, signed by {POST.urn} and {HOUSE.urn}, covers exactly this event"
    (subject,) = verdict.subjects
    assert (subject.reference, subject.version, subject.digest) == ("TJ/PNJ/2026/1", 2, b64url(digest_of(CROSSING.raw)))


def test_when_it_was_there_is_told_by_the_first_who_saw_it() -> None:
    (age,) = found(judged(CROSSING.file(CROSSING.of_post())), "age")
    assert (age.by, age.at_utc) == (HOUSE.urn, CROSSING.answered_at)
    assert "who had its key could have claimed any instant from 2026-11-23T12:00:00Z on" in age.text
    (age,) = found(judged(CROSSING.file(CROSSING.of_house())), "age")
    assert (age.by, age.at_utc) == (HOUSE.urn, NOW + timedelta(seconds=30))
    (coming,) = found(judged(CROSSING.file(CROSSING.of_house())), "coming")
    assert "checked then against CRL 14" in coming.text


@pytest.mark.parametrize("fate", ["REFUSED", "HELD"])
def test_other_fates_are_told_with_their_reasons(fate: str) -> None:
    crossing = Crossing(fate=fate)
    verdict = judged(crossing.file(crossing.of_post()))
    assert verdict.holds
    assert f"answered {fate} for exactly this event (it breaks a rule [rule-broken])" in found(verdict, "receipt")[0].text


def test_what_a_house_told_a_restored_post_is_as_good_as_a_receipt() -> None:
    told = CROSSING.said(CROSSING.recovery_answer(), RECEIVER, CROSSING.answered_at)
    entry = EventEvidence(event=CROSSING.said(CROSSING.raw, SENDER, CROSSING.exported_at), receipt=told)
    verdict = judged(CROSSING.file(account(POST, entry)))
    assert verdict.holds
    assert "answered LOADED for exactly this event" in found(verdict, "receipt")[0].text


def test_what_is_not_there_is_not_claimed_and_no_fault() -> None:
    only = account(POST, EventEvidence(event=CROSSING.said(CROSSING.raw, SENDER, NOW)))
    verdict = judged(CROSSING.file(only))
    assert verdict.holds
    assert {finding.what for finding in verdict.findings if finding.state is State.ABSENT} == {"age", "receipt", "closing"}


def test_without_a_country_s_authority_its_part_is_not_proven_and_the_rest_is() -> None:
    verdict = judged(CROSSING.file(CROSSING.of_post()), anchors=BOTH[:1])
    assert not verdict.holds
    assert wrong(verdict) == [
        "receipt signature: trust-country-unknown",
        "receipt: evidence-unproven",
        "closing signature: trust-country-unknown",
        "closing: evidence-unproven",
        "crl: trust-country-unknown",
    ]
    assert found(verdict, "signature")[0].state is State.PROVEN
    assert found(verdict, "age")[0].state is State.ABSENT
    other = judged(CROSSING.file(CROSSING.of_house()), anchors=BOTH[:1])
    assert {"seal: trust-country-unknown", "coming: evidence-unproven"} <= set(wrong(other))
    assert found(other, "signature")[0].state is State.PROVEN


def test_a_stranger_s_authority_proves_nothing() -> None:
    stranger = PinnedAnchor("tj", root("authority of tj").certificate)
    verdict = judged(CROSSING.file(CROSSING.of_post()), anchors=(stranger, BOTH[1]))
    assert {"seal: trust-path", "signature: trust-path", "crl: crl-invalid"} <= set(wrong(verdict))
    assert judged(CROSSING.file(CROSSING.of_post()), anchors=(stranger, *BOTH)).holds  # a country may have had two


def test_an_authority_speaks_for_its_own_country_only() -> None:
    verdict = judged(CROSSING.file(CROSSING.of_post()), anchors=(BOTH[0], PinnedAnchor("af", TJ.certificate)))
    assert "receipt signature: trust-path" in wrong(verdict)


def spoil(name: str) -> Callable[[EventEvidence], EventEvidence]:
    def own(entry: EventEvidence) -> EventEvidence:
        return entry.model_copy(update={"event": CROSSING.said(event(), SENDER, NOW)})

    def receipt(raw: bytes) -> Callable[[EventEvidence], EventEvidence]:
        return lambda entry: entry.model_copy(update={"receipt": CROSSING.said(raw, RECEIVER, CROSSING.answered_at)})

    def closing(**changes: object) -> Callable[[EventEvidence], EventEvidence]:
        return lambda entry: entry.model_copy(update={"closing": entry.closing and entry.closing.model_copy(update=changes)})

    def lines(change: Callable[[tuple[object, ...]], object]) -> Callable[[EventEvidence], EventEvidence]:
        return lambda entry: closing(lines=change(entry.closing.lines if entry.closing else ()))(entry)

    whole = CROSSING.closing(at_post=True)
    disagreed = CROSSING.said(
        CROSSING.answer(whole.manifest.raw, agreed=False, untold=1),
        RECEIVER,
        CROSSING.closed_at,
    )
    other_post = Party("tj", "ishkoshim")
    foreign = control(EventType.RECEIPT, HOUSE, other_post, {"answers": [{"id": CROSSING.id, "digest": "A" * 43, "fate": "LOADED"}]}, NOW)
    return {
        "another event": own,
        "a receipt of other bytes": receipt(CROSSING.receipt(digest=b64url(bytes(32)))),
        "a receipt of another id": receipt(Crossing().receipt()),
        "a receipt for another post": receipt(foreign),
        "no receipt at all": receipt(whole.answer.raw),
        "a closing that was not agreed": closing(answer=disagreed),
        "an answer to another manifest": closing(answer=CROSSING.closing(at_post=True).answer),
        "a line taken out": lines(lambda each: each[:2] + each[3:]),
        "lines in another order": lines(lambda each: (each[1], each[0], *each[2:])),
        "a line of other bytes": lines(lambda each: (each[0].model_copy(update={"digest": "A" * 43}), *each[1:])),  # type: ignore[attr-defined]
        "a manifest and answer exchanged": lambda entry: closing(
            manifest=entry.closing.answer if entry.closing else None, answer=entry.closing.manifest if entry.closing else None
        )(entry),
    }[name]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("another event", "receipt"),
        ("another event", "closing"),
        ("a receipt of other bytes", "receipt"),
        ("a receipt of another id", "receipt"),
        ("a receipt for another post", "receipt"),
        ("no receipt at all", "receipt"),
        ("a closing that was not agreed", "closing"),
        ("an answer to another manifest", "closing"),
        ("a line taken out", "closing"),
        ("lines in another order", "closing"),
        ("a line of other bytes", "closing"),
        ("a manifest and answer exchanged", "closing"),
    ],
)
def test_parts_that_are_genuine_and_do_not_belong_together_do_not_hold(name: str, what: str) -> None:
    verdict = judged(CROSSING.file(spoiled(CROSSING.of_post(), spoil(name))))
    assert not verdict.holds
    assert found(verdict, what)[-1].state is State.BROKEN


def test_a_receipt_that_does_not_name_the_event_is_no_witness_of_its_age() -> None:
    verdict = judged(CROSSING.file(spoiled(CROSSING.of_post(), spoil("a receipt of another id"))))
    assert found(verdict, "age")[0].at_utc == CROSSING.closed_at


def test_a_unit_that_signs_for_another_does_not_hold() -> None:
    other = identity(leaf(TJ, "urn:customs:tj:ishkoshim"), urn="urn:customs:tj:ishkoshim")
    crossing = replace(CROSSING, sender=other)
    made = account(POST, EventEvidence(event=crossing.said(crossing.raw, other, NOW)))
    assert "signature: bundle-source-foreign" in wrong(judged(Crossing().file(made)))
    house_for_post = account(POST, EventEvidence(event=crossing.said(crossing.raw, RECEIVER, NOW)))
    assert "signature: bundle-source-foreign" in wrong(judged(Crossing().file(house_for_post)))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"specversion":"1.0"}', "field-missing"),
        (b"not JSON", "json-syntax"),
        (event(environment="production"), "evidence-contradicts"),
        (event(destination="urn:customs:af:kunduz"), "bundle-may-not-say"),
    ],
)
def test_an_entry_that_is_no_event_of_a_stream_does_not_hold(raw: bytes, code: str) -> None:
    made = account(POST, EventEvidence(event=CROSSING.said(raw, SENDER, NOW)))
    assert f"event: {code}" in wrong(judged(CROSSING.file(made)))


def test_nothing_may_claim_to_be_later_than_the_question() -> None:
    raw = CROSSING.file(CROSSING.of_post())
    assert judged(raw, at=CROSSING.exported_at).holds
    early = judged(raw, at=CROSSING.exported_at - timedelta(hours=1))
    assert {"seal: evidence-contradicts", "signature: evidence-contradicts"} == set(wrong(early))


def test_a_certificate_is_judged_at_the_time_that_is_claimed_and_not_today() -> None:
    later = ASKED + timedelta(days=3_650)
    assert judged(CROSSING.file(CROSSING.of_post()), at=later).holds
    before = replace(CROSSING, answered_at=NOW - timedelta(days=2))
    assert "receipt signature: trust-not-yet-valid" in wrong(judged(before.file(before.of_post())))
    after = replace(CROSSING, answered_at=NOW + timedelta(days=101))
    assert "receipt signature: trust-expired" in wrong(judged(after.file(after.of_post()), at=later))


def test_without_a_crl_or_with_an_old_one_it_is_not_proven_that_nobody_was_revoked() -> None:
    made = CROSSING.of_post().model_copy(update={"crls": ()})
    verdict = judged(CROSSING.file(made))
    assert set(wrong(verdict)) == {"revocation: evidence-unproven", "receipt: evidence-unproven", "closing: evidence-unproven"}
    assert "no CRL of CN=authority of tj" in found(verdict, "revocation")[0].text
    assert judged(CROSSING.file(made), TJ_CRL, Crl.parse(crl(AF, 7))).holds
    old = [("tj", Crl.parse(crl(TJ, 13, until=NOW - timedelta(minutes=1)))), ("af", Crl.parse(crl(AF, 7)))]
    verdict = judged(CROSSING.file(made.model_copy(update={"crls": tuple(listed(*each) for each in old)})))
    assert "CRL 13" in found(verdict, "revocation")[0].text
    assert "had run out" in found(verdict, "revocation")[0].text


def test_what_a_revoked_post_signed_before_stands_where_the_house_saw_it_before() -> None:
    revoked = NOW + timedelta(minutes=30)
    verdict = judged(CROSSING.file(CROSSING.of_house()), revoking(TJ, 15, POST_PAIR, revoked))
    about = [finding for finding in found(verdict, "revocation") if finding.by == HOUSE.urn]
    assert about[0].state is State.PROVEN
    assert "is revoked since 2026-11-24T12:30:00Z (serial " in about[0].text
    assert f"that it was there before, {HOUSE.urn} shows: its records say that it came at 2026-11-24T12:00:30Z" in about[0].text
    assert found(verdict, "signature")[0].state is State.PROVEN
    # the manifest, an hour later, was signed after that: it does not hold
    assert wrong(verdict) == ["revocation: trust-revoked", "closing: evidence-unproven"]


def test_what_nobody_saw_before_the_revocation_could_have_been_made_up_since() -> None:
    made = account(POST, EventEvidence(event=CROSSING.said(CROSSING.raw, SENDER, NOW)))
    verdict = judged(CROSSING.file(made), revoking(TJ, 15, POST_PAIR, NOW + timedelta(hours=3)))
    (about,) = [finding for finding in found(verdict, "revocation") if "these bytes" in finding.text]
    assert about.state is State.UNPROVEN
    assert "whoever had the key could have made it up later" in about.text


def test_what_was_signed_after_the_revocation_does_not_hold_whatever_else_is_shown() -> None:
    crossing = replace(CROSSING, signed_at=NOW + timedelta(hours=1))
    verdict = judged(crossing.file(crossing.of_house()), revoking(TJ, 15, POST_PAIR, NOW))
    about = found(verdict, "revocation")
    assert all(finding.state is State.BROKEN for finding in about if "CRL 15" in finding.text)
    assert len([finding for finding in about if "CRL 15" in finding.text]) == 2


def test_the_day_a_key_was_lost_counts_where_the_crl_names_it() -> None:
    lost = revoking(TJ, 15, POST_PAIR, NOW + timedelta(days=9), lost=NOW + timedelta(seconds=40))
    verdict = judged(CROSSING.file(CROSSING.of_house()), lost)
    assert any("revoked since 2026-11-24T12:00:40Z" in finding.text for finding in found(verdict, "revocation"))


def test_a_revoked_house_s_receipt_stands_where_the_post_had_it_before() -> None:
    revoked = CROSSING.closed_at + timedelta(minutes=1)
    verdict = judged(CROSSING.file(CROSSING.of_post()), revoking(AF, 8, HOUSE_PAIR, revoked))
    assert verdict.holds
    assert f"that it was there before, {POST.urn} shows" in found(verdict, "revocation")[0].text


def test_an_older_list_that_names_a_certificate_counts_too() -> None:
    verdict = judged(CROSSING.file(CROSSING.of_post()), revoking(TJ, 3, POST_PAIR, NOW))
    assert "revocation: trust-revoked" in wrong(verdict)


def test_a_crl_counts_only_from_its_own_authority() -> None:
    assert judged(CROSSING.file(CROSSING.of_post()), revoking(root("authority of tj"), 99, POST_PAIR, NOW)).holds


def test_chains_with_an_intermediate_need_a_crl_of_each_authority() -> None:
    middle = make("posts of tj", TJ, ca=True)
    end = leaf(middle, POST.urn)
    crossing = replace(CROSSING, sender=identity(end, middle, urn=POST.urn))
    verdict = judged(crossing.file(crossing.of_post()))
    assert "no CRL of CN=posts of tj" in found(verdict, "revocation")[0].text
    whole = crossing.of_post()
    whole = whole.model_copy(update={"crls": (*whole.crls, listed("tj", Crl.parse(crl(middle, 1))))})
    assert judged(crossing.file(whole)).holds
    gone = revoking(TJ, 15, middle, NOW)
    assert "revocation: trust-revoked" in wrong(judged(crossing.file(whole), gone))


@pytest.mark.parametrize(
    "change",
    [{"number": "15"}, {"this_update": NOW}, {"next_update": NOW}, {"country": "af"}, {"der": b"no list"}],
    ids=lambda change: next(iter(change)),
)
def test_a_crl_that_is_not_as_the_file_says_does_not_hold(change: dict[str, object]) -> None:
    made = CROSSING.of_post()
    made = made.model_copy(update={"crls": (made.crls[0].model_copy(update=change), made.crls[1])})
    verdict = judged(CROSSING.file(made), TJ_CRL)
    assert found(verdict, "crl")[0].state is State.BROKEN


def test_the_exporter_is_one_of_the_two_and_its_seal_covers_everything() -> None:
    other = identity(leaf(AF, "urn:customs:af:kunduz"), urn="urn:customs:af:kunduz")
    made = CROSSING.of_post().model_copy(update={"exporter": other.urn})
    assert "event: evidence-contradicts" in wrong(judged(replace(CROSSING, receiver=other).file(made)))


def test_an_event_s_digest_must_be_among_those_that_were_signed() -> None:
    def foreign(entry: EventEvidence) -> EventEvidence:
        jws = sign([digest_of(b"1"), digest_of(b"2")], SENDER, NOW)
        return entry.model_copy(update={"event": Statement(raw=CROSSING.raw, jws=jws)})

    assert "signature: jws-digests" in wrong(judged(CROSSING.file(spoiled(CROSSING.of_post(), foreign))))


def test_a_withdrawal_is_told_and_must_be_of_this_very_event() -> None:
    def tombstone(digest: Digest) -> bytes:
        said = {
            "id": CROSSING.id,
            "digest": digest,
            "type": EventType.EXPORT_DECLARATION.value,
            "epoch": "5a3f00c2d1e4b697",
            "sequence": 3,
            "reference": "TJ/PNJ/2026/1",
            "version": 2,
            "reason": "typed twice",
        }
        return control(EventType.WITHDRAWAL, POST, HOUSE, said, NOW)

    for digest, holds in ((b64url(digest_of(CROSSING.raw)), True), (b64url(bytes(32)), False)):
        statement = CROSSING.said(tombstone(digest), SENDER, NOW)
        both = spoiled(CROSSING.of_post(), lambda entry, withdrawn=statement: entry.model_copy(update={"withdrawal": withdrawn}))  # type: ignore[misc]
        verdict = judged(CROSSING.file(both))
        assert verdict.holds == holds
        assert (found(verdict, "withdrawal")[0].state is State.PROVEN) == holds
    alone = spoiled(
        CROSSING.of_post(),
        lambda entry: entry.model_copy(
            update={"event": None, "withdrawal": CROSSING.said(tombstone(b64url(digest_of(CROSSING.raw))), SENDER, NOW)}
        ),
    )
    verdict = judged(CROSSING.file(alone))
    assert verdict.holds
    assert found(verdict, "event")[0].state is State.ABSENT
    assert "answered LOADED for exactly this event" in found(verdict, "receipt")[0].text
