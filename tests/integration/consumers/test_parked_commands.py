"""`panj parked` as operators type it, on both databases; no house runs, so that the commands do the work themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from broker.ports import Message
from broker.trust.anchors import TrustStore
from consumers import parked
from consumers.context import Batch, Context
from consumers.parked import parking_of_message
from consumers.pipeline import Pipeline
from consumers.registry import _REGISTRY
from consumers.tables import review_item
from schemas.errors import Problem
from tests.integration.consumers import rules
from tests.integration.consumers.conftest import Hands
from tests.integration.consumers.frontier import HOUSE, Frontier, declaration
from tests.integration.consumers.office import Office
from tests.integration.consumers.test_held_commands import code_of

STRANGERS = TrustStore({}, {})


def park(pipeline: Pipeline, frontier: Frontier, *numbers: str, **changes: Any) -> Message:
    """A sound bundle comes while no anchor is pinned for its country."""
    (one,) = frontier.deliveries([frontier.post.event(declaration(number, **changes)) for number in numbers])
    assert replace(pipeline, trust=STRANGERS).process([one]) == []
    return one.delivery.message


def test_what_is_parked_is_listed_grouped_and_shown_with_its_headers_claims_and_bytes(
    office: Office, ruled: Pipeline, frontier: Frontier, tmp_path: Path
) -> None:
    message = park(ruled, frontier, "1", "2")
    park(ruled, frontier, "3")
    ruled.process([frontier.delivery(replace(message, body=b"[]"))])
    (mine, other) = office.ask("parked list --groups")["groups"]
    assert (mine["code"], mine["count"], mine["place"]) == ("trust-country-unknown", 2, "tj af-customs.record")
    assert other["count"] == 1
    listed = office.ask("parked list --group {group}", group=mine["group"])["parked"]
    assert [one["source"] for one in listed] == [frontier.post.party.urn] * 2
    digest = listed[0]["digest"]
    shown = office.ask("parked show {digest}", digest=digest[:8])
    assert shown["digest"] == digest
    assert shown["headers"]["jws"] == message.headers["jws"]
    assert shown["opening_now"] == {
        "good": True,
        "signatory": frontier.post.party.urn,
        "type": "customs.export-declaration.v1",
        "events": 2,
    }
    assert [event["fate"] for event in shown["claimed_events"]] == ["unknown", "unknown"]
    assert office.type("parked show {digest} --bytes", digest=digest).stdout_bytes == message.body
    assert "trust-country-unknown" in office.type("parked list").stdout
    assert code_of(office.type("parked show 00000000")) == "parked-unknown"
    assert code_of(office.type("parked show abc")) == "parked-unknown"


def test_a_dry_run_opens_with_the_trust_of_today_and_tells_the_fate_of_each_event(
    office: Office, ruled: Pipeline, frontier: Frontier
) -> None:
    park(ruled, frontier, "1")
    park(ruled, frontier, "2", local_reference="look")
    told = office.ask("parked replay --all --dry-run")
    assert told["outcomes"] == {"loaded": 1, "held": 1}
    assert not any(item["known"] for item in told["items"])
    assert office.rows("SELECT count(*) FROM inbox") == office.rows("SELECT count(*) FROM declaration") == [(0,)]
    office.anchor.write_bytes(frontier.afghan.anchor.read_bytes())
    told = office.ask("parked replay --all --dry-run")
    assert told["outcomes"] == {"parked": 2}
    assert told["items"][0]["problem"]["code"].startswith("trust-")
    assert office.rows("SELECT count(*) FROM parked WHERE closed_at_utc IS NULL") == [(2,)]


def test_a_message_is_opened_again_once_its_anchor_is_pinned_and_its_row_closes(
    office: Office, ruled: Pipeline, frontier: Frontier
) -> None:
    office.login("amina")
    message = park(ruled, frontier, "1", "2")
    digest = parked.message_digest(message).hex()
    done = office.ask("parked replay {digest} --reason pinned", digest=digest[:12])
    assert (done["state"], done["outcomes"]) == ("done", {"opened": 1})
    assert office.rows("SELECT fate FROM inbox") == [("LOADED",), ("LOADED",)]
    assert office.rows("SELECT closed_by_order, times FROM parked WHERE closed_at_utc IS NOT NULL") == [(1, 1)]
    assert office.trail() == [("amina", "order.made", "order 1"), ("amina", "parked.replayed", digest)]
    assert code_of(office.type("parked replay {digest} --reason twice", digest=digest)) == "parked-unknown"
    shown = office.ask("parked show {digest}", digest=digest)
    assert [event["fate"] for event in shown["claimed_events"]] == ["LOADED", "LOADED"]


def test_what_cannot_be_opened_today_stays_parked_with_todays_reason_and_is_not_counted_again(
    office: Office, ruled: Pipeline, frontier: Frontier
) -> None:
    park(ruled, frontier, "1")
    office.anchor.write_bytes(frontier.afghan.anchor.read_bytes())
    said = office.type("parked replay --all --reason try")
    assert said.exit_code == 1
    assert "1 parked" in said.stdout
    ((code, times, closed),) = office.rows("SELECT code, times, closed_at_utc FROM parked")
    assert str(code).startswith("trust-")
    assert (code, times, closed) == (code, 1, None)
    assert code != "trust-country-unknown"


def test_an_event_that_is_held_again_closes_its_message_and_waits_among_what_is_held(
    office: Office, ruled: Pipeline, frontier: Frontier
) -> None:
    park(ruled, frontier, "1", local_reference="look")
    assert office.ask("parked replay --all --reason pinned")["outcomes"] == {"opened": 1}
    assert office.ask("parked list")["parked"] == []
    assert [one["code"] for one in office.ask("held list")["held"]] == ["valuation-check"]


def test_a_discarded_row_is_closed_and_kept_and_ends_its_alarm(office: Office, ruled: Pipeline, frontier: Frontier) -> None:
    office.need_second_person("discard")
    office.login("amina")
    message = park(ruled, frontier, "1")
    digest = parked.message_digest(message).hex()
    assert office.ask("parked discard {digest} --dry-run", digest=digest)["outcomes"] == {"closed": 1}
    assert office.ask("parked discard {digest} --reason attack", digest=digest)["state"] == "waiting"
    office.login("bahrom")
    assert office.ask("parked approve 1")["outcomes"] == {"closed": 1}
    assert office.ask("parked list")["parked"] == []
    assert office.type("parked show {digest} --bytes", digest=digest).stdout_bytes == message.body
    replace(ruled, trust=STRANGERS).process([frontier.delivery(message)])
    assert office.rows("SELECT times FROM parked WHERE closed_by_order = 1") == [(2,)]
    assert ("amina", "parked.discarded", digest) in office.trail()


def test_a_single_event_and_a_body_that_was_not_kept_are_told_and_never_let_in(
    office: Office, ruled: Pipeline, frontier: Frontier, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = frontier.post.event(declaration("c"))
    ruled.process(frontier.deliveries([raw]))
    forged = frontier.post.event(declaration("c", gross_mass_kg="1"), id=json.loads(raw)["id"])
    ruled.process(frontier.deliveries([forged]))
    monkeypatch.setattr("consumers.parked.BODY_BYTES", 10)
    park(ruled, frontier, "1")
    listed = office.ask("parked list")["parked"]
    assert [one["whole"] for one in listed] == [False, False]
    for one in listed:
        assert code_of(office.type("parked replay {digest} --reason x", digest=one["digest"])) == "parked-incomplete"
        assert office.ask("parked show {digest}", digest=one["digest"])["opening_now"]["code"] == "parked-incomplete"
    assert office.ask("parked replay --all --reason x")["outcomes"] == {"parked": 2}
    assert code_of(office.type("parked show {digest} --bytes", digest=listed[1]["digest"])) == "parked-incomplete"


def test_a_message_that_killed_its_worker_is_opened_event_by_event_and_the_killer_is_held(
    office: Office, ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        """The end of the process, as far as Python can play it."""

    def die_of_two(batch: Batch, context: Context) -> None:
        if any(event.data.registration_number == "2" for event in batch):
            raise Death
        rules.load_by_rules(batch, context)

    park(ruled, frontier, "1", "2", "3")
    with monkeypatch.context() as deadly:
        deadly.setitem(_REGISTRY, (rules.__name__, "record"), replace(ruled.consumer, handler=die_of_two, module=rules.__name__))
        for line in ("parked replay --all --reason x", "parked resume 1"):
            with pytest.raises(Death):
                office.type(line)
            with engine.begin() as connection:  # a minute passes
                connection.execute(update(review_item).values(begun_at_utc=clock() - timedelta(minutes=2)))
        assert office.ask("parked resume 1")["outcomes"] == {"opened": 1}
    fates = office.rows("SELECT reference, fate FROM inbox ORDER BY reference")
    assert [fate for _, fate in fates] == ["LOADED", "HELD", "LOADED"]
    assert office.rows("SELECT code FROM held") == [("worker-died",)]
    assert office.rows("SELECT count(*) FROM attempt") == [(0,)]


def test_a_terminal_is_not_written_to_by_what_strangers_send(office: Office, engine: Engine, clock: Hands) -> None:
    headers: dict[str, str | int] = {"source": "urn:customs:tj:panji-poyon", "x-\x1b[31mred": "\x9b2Jgone \x1b]0;title\x07"}
    message = Message("af-customs.x.tj-y", b"\x1b[2J", headers, "text/\x1b[1mplain")
    parking = parking_of_message(message, "tj", f"{HOUSE.unit}.record", Problem(code="bundle-form", text="a \x1b[7m trick"))
    with engine.begin() as connection:
        parked.park(connection, [parking], clock())
    digest = parking.digest.hex()
    for line in ("parked list", "parked list --groups", f"parked show {digest}", f"parked show {digest} --json", "parked list --json"):
        said = office.type(line).stdout
        assert "trick" in said
        assert not {"\x1b", "\x9b", "\x07"} & set(said), line
