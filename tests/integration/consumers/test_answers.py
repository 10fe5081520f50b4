"""Receipts as the post reads them: one per post and 500 answers, signed by the house, with problems where there are some."""

from __future__ import annotations

from datetime import UTC, datetime

from broker.bundle.open import Expected, open_message
from broker.trust.anchors import TrustStore
from consumers.answers import Answered, receipts
from schemas.control import Answer, Receipt
from schemas.errors import Problem
from schemas.event import digest_of, new_id
from schemas.fates import Fate
from schemas.limits import EVENT_BYTES
from tests.integration.consumers.frontier import HOUSE, Frontier

NOW = datetime.now(UTC)


def answered(source: str = "urn:customs:tj:panji-poyon", fate: Fate = Fate.LOADED, problems: tuple[Problem, ...] = ()) -> Answered:
    event_id = new_id()
    return Answered(event_id, source, digest_of(event_id.encode()), fate, problems)


def read(frontier: Frontier, answers: list[Answered]) -> list[tuple[str, str, tuple[Answer, ...]]]:
    """Open what the house would send as the posts would."""
    trust = TrustStore({"af": frontier.afghan.anchor}, {})
    found = []
    for lane, message in receipts(answers, HOUSE, "test", frontier.house_identity, NOW):
        receiver = next(
            post for post in (frontier.post.party, frontier.new_post("ishkoshim").party) if message.routing_key.startswith(post.unit)
        )
        bundle = open_message(message, trust, Expected("af", receiver, "test"), NOW)
        for opened in bundle.events:
            assert len(opened.raw) < EVENT_BYTES
            found.append((lane, receiver.unit, Receipt.model_validate(opened.event.data).answers))
    return found


def test_each_post_gets_its_own_receipts_on_the_lane_of_its_country(frontier: Frontier) -> None:
    problem = Problem(code="field-missing", text="a field is missing", field="items.0.hs_code")
    refused = answered("urn:customs:tj:ishkoshim", Fate.REFUSED, (problem,))
    found = read(frontier, [answered(), refused, answered()])
    assert [(lane, unit, len(answers)) for lane, unit, answers in found] == [("tj", "tj-ishkoshim", 1), ("tj", "tj-panji-poyon", 2)]
    assert found[0][2][0].problems == (problem,)
    assert found[0][2][0].fate is Fate.REFUSED


def test_more_than_500_answers_and_very_long_ones_are_split(frontier: Frontier) -> None:
    assert [len(answers) for _, _, answers in read(frontier, [answered() for _ in range(1_001)])] == [500, 500, 1]
    wordy = tuple(Problem(code="field-invalid", text="ҷ" * 500, field="f" * 200, value="в" * 120) for _ in range(20))
    told = read(frontier, [answered(fate=Fate.REFUSED, problems=wordy) for _ in range(60)])
    assert sum(len(answers) for _, _, answers in told) == 60
    assert len(told) > 1


def test_an_event_that_came_twice_is_answered_once(frontier: Frontier) -> None:
    one = answered()
    ((_, _, answers),) = read(frontier, [one, one])
    assert len(answers) == 1
