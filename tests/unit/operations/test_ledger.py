"""The chain of closings, verified offline: it holds as it was made, and no change of it goes unseen."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from broker.operations.closing_status import observe_accounts
from broker.operations.contributions import Attention
from broker.operations.ledger import Ledger, Verdict, examine, ledgers_of_outboxes
from broker.outbox.closing_tables import closing
from broker.outbox.closing_values import Wish
from broker.outbox.engine import open_engine, writing
from broker.outbox.values import Occurrences
from broker.trust.testimony import PinnedAnchor, Tribunal
from schemas.closing import Line
from schemas.event import digest_of
from tests.unit.outbox.drafts import HOUSE, POST, drafts
from tests.unit.relay.frontier import Frontier, frontier_at


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frontier]:
    """A frontier over which three closings were made."""
    directory = tmp_path_factory.mktemp("closed")
    with frontier_at(directory, f"sqlite:///{directory}/outbox.sqlite") as frontier:
        frontier.outbox.accept(drafts(5))
        for _ in range(3):
            frontier.turns(4)
            frontier.outbox.record(Occurrences(wishes=[Wish(HOUSE.urn, "asked by a person", frontier.clock.turn(2))]))
            frontier.turns(8, seconds=2)
        assert frontier.outbox.closings.account(HOUSE.urn).number == 3
        yield frontier


def ledger_of(frontier: Frontier) -> Ledger:
    (found,) = ledgers_of_outboxes(frontier.settings)
    assert (found.keeper, found.partner) == (POST, HOUSE)
    return found


def verdict_of(frontier: Frontier, ledger: Ledger | None = None) -> Verdict:
    court = Tribunal([PinnedAnchor.read(frontier.tajik.anchor, "tj"), PinnedAnchor.read(frontier.afghan.anchor, "af")])
    return examine(ledger or ledger_of(frontier), court)


def test_the_chain_as_it_was_made_is_whole(closed: Frontier) -> None:
    verdict = verdict_of(closed)
    assert verdict.whole, verdict.faults
    assert verdict.closings == 3


Change = Callable[[dict[str, Any]], None]


def _digits(data: bytes) -> bytes:
    return data.replace(b'"last":5', b'"last":6').replace(b'"agreed":true', b'"agreed":true ')


def _with(side: str, digests: bool) -> Callable[[Any], dict[str, Any]]:
    def change(row: Any) -> dict[str, Any]:
        raw = _digits(bytes(row[side]))
        assert raw != bytes(row[side])
        return {side: raw} | ({f"{side}_digest": digest_of(raw)} if digests else {})

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(_with("manifest", digests=False), "the manifest was changed", id="manifest"),
        pytest.param(_with("answer", digests=False), "the answer was changed", id="answer"),
        pytest.param(_with("manifest", digests=True), "the manifest's signature does not hold", id="manifest-and-digest"),
        pytest.param(_with("answer", digests=True), "the answer's signature does not hold", id="answer-and-digest"),
        pytest.param(lambda row: {"manifest_jws": row["answer_jws"]}, "the manifest's signature does not hold", id="another-signature"),
        pytest.param(
            lambda row: {"answer": row["manifest"], "answer_digest": row["manifest_digest"]}, "is another one", id="another-event"
        ),
        pytest.param(lambda row: {"number": 9}, "it is kept as number 9; the manifest says 2", id="another-number"),
    ],
)
def test_a_closing_that_was_changed_is_seen(closed: Frontier, tmp_path: Path, change: Callable[[Any], dict[str, Any]], told: str) -> None:
    ledger = tampered(closed, tmp_path, change)
    verdict = verdict_of(closed, ledger)
    assert not verdict.whole
    assert any(told in fault.what for fault in verdict.faults), verdict.faults


def tampered(closed: Frontier, tmp_path: Path, change: Callable[[Any], dict[str, Any]]) -> Ledger:
    """The ledger of a copy of the outbox in which closing 2 was changed."""
    target = tmp_path / "outbox.sqlite"
    with sqlite3.connect(closed.url.removeprefix("sqlite:///")) as here, sqlite3.connect(target) as there:
        here.backup(there)
    engine = open_engine(f"sqlite:///{target}")
    with writing(engine) as connection:
        row = connection.execute(closing.select().where(closing.c.number == 2)).mappings().one()
        connection.execute(update(closing).where(closing.c.number == 2).values(change(row)))
    engine.dispose()
    post = closed.settings.posts["panji-poyon"].model_copy(update={"outbox": f"sqlite:///{target}"})
    (ledger,) = ledgers_of_outboxes(closed.settings.model_copy(update={"posts": {"panji-poyon": post}}))
    return ledger


def test_a_closing_that_was_removed_is_a_gap_and_one_that_follows_another_chain_is_a_fault(closed: Frontier) -> None:
    whole = ledger_of(closed)
    without = Ledger(whole.keeper, whole.post, whole.house, [each for each in whole.closings if each.number != 2])
    assert verdict_of(closed, without).gaps == ((2, 2),)
    one, two, three = whole.closings
    renamed = Ledger(whole.keeper, whole.post, whole.house, [two, three])
    assert verdict_of(closed, renamed).gaps == ((1, 1),)
    swapped = Ledger(
        whole.keeper, whole.post, whole.house, [one, two, type(three)(3, True, three.at_utc, 1, 0, three.manifest, two.answer)]
    )
    assert any("another manifest" in fault.what for fault in verdict_of(closed, swapped).faults)


def test_an_authority_that_is_not_pinned_proves_nothing(closed: Frontier) -> None:
    court = Tribunal([PinnedAnchor.read(closed.tajik.anchor, "tj")])
    faults = examine(ledger_of(closed), court).faults
    assert all("answer's signature" in fault.what for fault in faults)
    assert len(faults) == 3


def test_status_tells_the_last_closing_what_is_late_and_what_differs(tmp_path: Path) -> None:
    with frontier_at(tmp_path, f"sqlite:///{tmp_path}/outbox.sqlite") as frontier:
        frontier.outbox.accept(drafts(3))
        frontier.turns(4)
        lines = next(iter(frontier.house.held.values()))
        lines[1] = Line(2, "01900000-0000-7000-8000-000000000000", bytes(32))
        frontier.outbox.record(Occurrences(wishes=[Wish(HOUSE.urn, "asked by a person", frontier.clock.turn(2))]))
        frontier.turns(12, seconds=2)
        now = frontier.clock()
        readings = {each.name: each for each in observe_accounts(POST, frontier.outbox.closings, 60, now)}
        assert readings["last agreed closing, number 1"].attention is Attention.FINE
        assert (readings["closing differs"].value, readings["closing differs"].attention) == (1, Attention.ACT)
        later = observe_accounts(POST, frontier.outbox.closings, 60, now + timedelta(minutes=4))
        assert {each.name: each.attention for each in later}["last agreed closing, number 1"] is Attention.WATCH
        assert json.dumps([each.advice for each in readings.values()]).count("panj reconcile") == 1
        assert now > datetime(2020, 1, 1, tzinfo=UTC)
