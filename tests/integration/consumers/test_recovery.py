"""A post that forgot asks its house, and is told page by page what the house holds of it: all of that, and of nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine

from broker.trust.signing import b64url
from consumers import recovery
from consumers.pipeline import Pipeline
from consumers.recovery import answer_recovery
from schemas.content import content_digest
from schemas.control import Recovered, Recovery, RecoveryAnswer
from schemas.event import digest_of
from schemas.fates import Fate
from schemas.names import EventType
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import CROSSING, EXPORT, Frontier, Post, crossing, declaration


def send(frontier: Frontier, pipeline: Pipeline, post: Post, numbers: Sequence[str]) -> list[bytes]:
    events = [post.event(declaration(number, items=1)) for number in numbers]
    pipeline.process([frontier.delivery(post.bundle(events))])
    return events


def send_crossings(frontier: Frontier, pipeline: Pipeline, post: Post, numbers: Sequence[str]) -> None:
    events = [post.event(crossing(number, "arrived", number), CROSSING) for number in numbers]
    pipeline.process([frontier.delivery(post.bundle(events, CROSSING))])


def ask(engine: Engine, post: Post, known: Sequence[Any] = ()) -> RecoveryAnswer:
    request = "01234567-89ab-7cde-8f01-23456789abcd"
    with engine.connect() as connection:
        return answer_recovery(connection, post.party.urn, Recovery.model_validate({"known": known}), request)


def ask_all(engine: Engine, post: Post, known: Sequence[Any] = ()) -> list[Recovered]:
    """Ask page by page, as a post does."""
    found: list[Recovered] = []
    while True:
        answer = ask(engine, post, known)
        found += answer.entries
        if answer.left == 0:
            return found
        assert answer.entries, "a page that tells nothing and leaves something never ends"
        known = [head.model_dump(mode="json") for head in answer.told]


def test_a_post_is_told_every_event_with_its_name_content_and_fate(engine: Engine, pipeline: Pipeline, frontier: Frontier) -> None:
    post, other = frontier.new_post("panji-poyon"), frontier.new_post("ishkoshim")
    good, bad = post.event(declaration("r1")), post.event(declaration("bad", gross_mass_kg="heavy"))
    pipeline.process([frontier.delivery(post.bundle([good, bad]))])
    send(frontier, pipeline, other, ["r2"])
    answer = ask(engine, post)
    assert answer.left == 0
    first, second = answer.entries
    assert (first.type, first.epoch, first.sequence, first.fate) == (EXPORT, post.epoch, 1, Fate.LOADED)
    assert (first.reference, first.version) == ("TJ/TJPNJ/2026/r1", 1)
    assert (first.digest, first.content) == (b64url(digest_of(good)), b64url(content_digest(declaration("r1"))))
    assert (second.reference, second.version, second.content, second.fate) == ("TJ/TJPNJ/2026/bad", None, None, Fate.REFUSED)
    assert {problem.code for problem in second.problems} == {"field-invalid"}


def test_what_is_known_is_not_told_again(engine: Engine, pipeline: Pipeline, frontier: Frontier) -> None:
    post = frontier.new_post("panji-poyon")
    send(frontier, pipeline, post, [f"k{number}" for number in range(5)])
    send_crossings(frontier, pipeline, post, ["k0", "k1"])
    known = [{"type": EXPORT, "epoch": post.epoch, "last": 3}]
    told = [(entry.type.value, entry.sequence) for entry in ask(engine, post, known).entries]
    assert told == [(CROSSING, 1), (CROSSING, 2), (EXPORT, 4), (EXPORT, 5)]


@pytest.mark.parametrize("page", [1, 2, 3, 7, 1_000])
def test_page_by_page_each_event_is_told_once(
    engine: Engine, pipeline: Pipeline, frontier: Frontier, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(recovery, "RECOVERY_ENTRIES", page)
    monkeypatch.setattr(recovery, "ROWS_AT_ONCE", 2)
    first, second = frontier.new_post("panji-poyon"), frontier.new_post("panji-poyon")
    for post in (first, second):
        send(frontier, pipeline, post, [f"p{post.epoch}{number}" for number in range(7)])
        send_crossings(frontier, pipeline, post, [f"p{post.epoch}{number}" for number in range(3)])
    told = [(entry.epoch, entry.type.value, entry.sequence) for entry in ask_all(engine, first)]
    assert len(told) == 20
    assert len(set(told)) == 20
    assert {epoch for epoch, _, _ in told} == {first.epoch, second.epoch}


def test_a_page_is_bounded_in_bytes(engine: Engine, pipeline: Pipeline, frontier: Frontier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PAGE_BYTES", 1_000)
    post = frontier.new_post("panji-poyon")
    send(frontier, pipeline, post, [f"b{number}" for number in range(10)])
    assert len(ask(engine, post).entries) < 5
    assert len(ask_all(engine, post)) == 10


def test_the_house_answers_a_recovery_to_the_post_that_asked(engine: Engine, pipeline: Pipeline, frontier: Frontier) -> None:
    post = frontier.new_post("panji-poyon")
    send(frontier, pipeline, post, ["h1", "h2"])
    desk = ControlDesk(engine, frontier, post)
    raw = desk.say(EventType.RECOVERY, {"known": []})
    (heard,) = desk.heard()
    answer = RecoveryAnswer.model_validate(heard.event.data)
    assert heard.event.type == EventType.RECOVERY_ANSWER
    assert answer.request.encode() in raw
    assert [entry.reference for entry in answer.entries] == ["TJ/TJPNJ/2026/h1", "TJ/TJPNJ/2026/h2"]
    assert [(head.type, head.epoch, head.last) for head in answer.told] == [(EXPORT, post.epoch, 2)]


def test_a_house_that_never_heard_of_the_post_says_so(engine: Engine, frontier: Frontier) -> None:
    answer = ask(engine, frontier.new_post("panji-poyon"))
    assert (answer.entries, answer.told, answer.left) == ((), (), 0)
