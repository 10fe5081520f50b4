"""`panj held` as operators type it, on both databases; no house runs, so that the commands do the work themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consumers.pipeline import Pipeline
from consumers.retrying import try_again
from schemas.errors import PanjError
from schemas.event import digest_of
from schemas.fates import Fate
from tests.integration.consumers import rules
from tests.integration.consumers.frontier import Frontier, declaration
from tests.integration.consumers.office import Office


def hold(pipeline: Pipeline, frontier: Frontier, *what: str, first: int = 1) -> list[str]:
    """Let declarations come whose local references say what becomes of them; the ids of the events."""
    raws = [frontier.post.event(declaration(f"h{first + number}", local_reference=each)) for number, each in enumerate(what)]
    pipeline.process(frontier.deliveries(raws))
    return [json.loads(raw)["id"] for raw in raws]


def code_of(said: Any) -> str:
    """The code of the error that a command ended with."""
    assert isinstance(said.exception, PanjError), (said.stdout, said.exception)
    return said.exception.code


def test_what_is_held_is_listed_in_groups_of_like_failures_with_filters_and_pages(
    office: Office, ruled: Pipeline, frontier: Frontier
) -> None:
    assert "Nothing is held" in office.type("held list").stdout
    hold(ruled, frontier, "cursed", "look", "cursed", "fine", "look", "cursed")
    groups = office.ask("held list --groups")["groups"]
    assert [(group["code"], group["count"]) for group in groups] == [("handler-surprise", 3), ("valuation-check", 2)]
    assert "ZeroDivisionError in load_by_rules (rules.py:" in groups[0]["shape"]
    assert "secret" not in json.dumps(groups)
    found = office.ask("held list --group {group}", group=groups[1]["group"])
    assert [one["code"] for one in found["held"]] == ["valuation-check"] * 2
    assert found["held"][0]["reference"] == "TJ/TJPNJ/2026/h2"
    assert len(office.ask("held list --code handler-surprise --source tj-panji-poyon --lane tj --queue record")["held"]) == 3
    assert office.ask("held list --older-than 1h")["held"] == []
    assert office.ask("held list --lane af")["held"] == []
    paged = [office.ask("held list --limit 2 --page {page}", page=str(page)) for page in (1, 2, 3, 4)]
    assert [len(page["held"]) for page in paged] == [2, 2, 1, 0]
    assert len({one["event_id"] for page in paged for one in page["held"]}) == 5
    table = office.type("held list").stdout
    assert "valuation-check" in table
    assert "5 held, oldest first" in table
    assert code_of(office.type("held list --older-than soon")) == "duration-invalid"


def test_everything_about_one_event_is_shown_with_its_exact_bytes_and_what_its_signature_is_worth_today(
    office: Office, ruled: Pipeline, frontier: Frontier, tmp_path: Path
) -> None:
    (event_id,) = hold(ruled, frontier, "cursed")
    shown = office.ask("held show {id}", id=event_id)
    assert shown["fate"] == "HELD"
    assert shown["why_held"]["exception"].startswith("ZeroDivisionError in load_by_rules")
    assert "secret name" in shown["why_held"]["traceback"]  # here, where the declaration is; nobody else is told
    assert shown["signature_now"]["good"] is True
    assert shown["signature_now"]["signatory"] == frontier.post.party.urn
    assert shown["claims"]["source"] == frontier.post.party.urn
    assert "data" not in shown["claims"]
    assert "final receipt" in shown["receipt"]
    raw = office.type("held show {id} --bytes", id=event_id).stdout_bytes
    assert digest_of(raw) == bytes(office.rows("SELECT digest FROM inbox")[0][0])
    out = tmp_path / "event.json"
    office.type("held show {id} --out {out}", id=event_id, out=str(out))
    assert out.read_bytes() == raw
    assert out.stat().st_mode & 0o777 == 0o600
    assert code_of(office.type("held show {id} --out {out}", id=event_id, out=str(out))) == "file-exists"
    office.anchor.write_bytes(frontier.afghan.anchor.read_bytes())
    assert office.ask("held show {id}", id=event_id)["signature_now"]["code"].startswith("trust-")
    assert code_of(office.type("held show 00000000-0000-7000-8000-000000000000")) == "held-unknown"
    assert "ZeroDivisionError" in office.type("held show {id}", id=event_id).stdout


def test_a_dry_run_says_what_would_become_of_each_and_changes_nothing(office: Office, ruled: Pipeline, frontier: Frontier) -> None:
    cursed, look, _, failing = hold(ruled, frontier, "cursed", "look", "fine", "look-and-fail")
    before = office.rows("SELECT * FROM held ORDER BY event_id")
    replayed = office.ask("held replay --all --dry-run")
    assert replayed["outcomes"] == {"held": 3}
    assert {one["key"]: one["problem"]["code"] for one in replayed["items"]}[look] == "valuation-check"
    rules.MENDED["fault"] = True
    replayed = office.ask("held replay --code handler-surprise --dry-run")
    assert [(one["key"], one["outcome"]) for one in replayed["items"]] == [(cursed, "loaded")]
    released = office.ask("held release {look} {failing} --dry-run", look=look, failing=failing)
    assert {one["key"]: one["outcome"] for one in released["items"]} == {look: "loaded", failing: "held"}
    assert office.type("held release {look} --dry-run", look=look).exit_code == 0
    assert office.type("held release {failing} --dry-run", failing=failing).exit_code == 1
    discarded = office.type("held discard --all --dry-run")
    assert "3 refused" in discarded.stdout
    assert office.rows("SELECT * FROM held ORDER BY event_id") == before
    assert office.rows("SELECT count(*) FROM review_order") == [(0,)]
    assert office.rows("SELECT count(*) FROM declaration") == [(1,)]
    assert office.trail() == []


def test_after_a_fix_a_group_is_replayed_in_one_go_and_a_later_failure_of_the_kind_is_not_touched(
    office: Office, ruled: Pipeline, frontier: Frontier
) -> None:
    office.login("amina")
    ids = hold(ruled, frontier, *["cursed"] * 5)
    (group,) = office.ask("held list --groups")["groups"]
    ordered = office.ask("held replay --group {group} --reason mended --later", group=group["group"])
    assert ordered["state"] == "running"
    (late,) = hold(ruled, frontier, "cursed", first=50)  # fails before the fix too, after the set was frozen
    rules.MENDED["fault"] = True
    done = office.ask("held resume {number}", number=str(ordered["number"]))
    assert (done["state"], done["outcomes"]) == ("done", {"loaded": 5})
    assert {item["key"] for item in done["items"]} == set(ids)
    ((left, attempts),) = office.rows("SELECT event_id, attempts FROM held JOIN inbox USING (event_id) WHERE fate = 'HELD'")
    assert (str(left), attempts) == (late, 0)
    assert office.trail() == [
        ("amina", "order.made", "order 1"),
        *(("amina", "held.replayed", event_id) for event_id in sorted(ids)),
    ]
    history = office.ask("held show {id}", id=ids[0])
    assert [step["action"] for step in history["history"]] == ["order.made", "held.replayed"]
    assert history["orders"][0]["outcome"] == "loaded"
    assert "LOADED is to be told" in history["receipt"]


def test_a_replay_that_fails_again_tells_so_and_the_events_stay_held(office: Office, ruled: Pipeline, frontier: Frontier) -> None:
    (event_id,) = hold(ruled, frontier, "cursed")
    said = office.type("held replay {id} --reason again", id=event_id)
    assert said.exit_code == 1
    assert "1 held" in said.stdout
    assert "handler-surprise" in said.stdout
    assert office.rows("SELECT attempts, released_by_order FROM held") == [(1, None)]


def test_what_a_rule_holds_is_released_by_a_person_and_what_fails_or_is_wrong_is_not(
    office: Office, ruled: Pipeline, frontier: Frontier
) -> None:
    look, failing = hold(ruled, frontier, "look", "look-and-fail")
    assert office.ask("held replay --all --reason again")["outcomes"] == {"held": 2}
    done = office.ask("held release --all --reason seen")
    assert done["outcomes"] == {"held": 1, "loaded": 1}
    assert {item["key"]: item["outcome_code"] for item in done["items"]} == {look: None, failing: "handler-surprise"}
    assert office.rows("SELECT registration_number FROM declaration") == [("h1",)]
    assert office.ask("held show {id}", id=failing)["why_held"]["released_by_order"] == 2


def test_a_discarded_event_is_refused_with_the_persons_reason_for_its_sender(office: Office, ruled: Pipeline, frontier: Frontier) -> None:
    (event_id,) = hold(ruled, frontier, "look")
    assert code_of(office.type("held discard {id}", id=event_id)) == "reason-missing"
    assert code_of(office.type("held discard {id} --reason {long}", id=event_id, long="x" * 501)) == "reason-unfit"
    said = office.type("held discard {id} --reason never-came", id=event_id)
    assert said.exit_code == 0, said.stdout
    (told,) = try_again(ruled).answers
    assert (told.event_id, told.fate, told.problems[0].code) == (event_id, Fate.REFUSED, "refused-by-person")
    assert told.problems[0].text == "never-came"
    assert "Nothing is held" in office.type("held list").stdout
    assert office.rows("SELECT count(*) FROM declaration") == [(0,)]


def test_where_it_is_asked_for_a_second_person_must_agree_and_the_first_one_may_not(
    office: Office, ruled: Pipeline, frontier: Frontier
) -> None:
    office.need_second_person("release", "discard")
    office.login("amina")
    (event_id,) = hold(ruled, frontier, "look")
    said = office.type("held release {id} --reason seen", id=event_id)
    assert said.exit_code == 0
    assert "waits for a second person" in said.stdout
    assert office.rows("SELECT count(*) FROM declaration") == [(0,)]
    assert code_of(office.type("held discard {id} --reason other", id=event_id)) == "order-overlaps"
    assert code_of(office.type("held approve 1")) == "order-same-person"
    assert code_of(office.type("parked approve 1")) == "order-unknown"
    office.login("bahrom")
    assert office.ask("held approve 1 --dry-run")["outcomes"] == {"loaded": 1}
    done = office.ask("held approve 1")
    assert (done["state"], done["ordered_by"], done["approved_by"]) == ("done", "amina", "bahrom")
    assert office.rows("SELECT registration_number FROM declaration") == [("h1",)]
    assert code_of(office.type("held approve 1")) == "order-not-waiting"
    assert office.trail() == [
        ("amina", "order.made", "order 1"),
        ("bahrom", "order.approved", "order 1"),
        ("amina", "held.released", event_id),
    ]


def test_an_order_that_waited_too_long_is_over_and_its_items_can_be_chosen_again(
    office: Office, ruled: Pipeline, frontier: Frontier
) -> None:
    office.need_second_person("release")
    office.login("amina")
    (event_id,) = hold(ruled, frontier, "look")
    office.type("held release {id} --reason seen", id=event_id)
    with office.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE review_order SET expires_at_utc = ordered_at_utc")
    office.login("bahrom")
    assert code_of(office.type("held approve 1")) == "order-expired"
    assert "expired" in office.type("held orders").stdout
    again = office.ask("held release {id} --reason seen", id=event_id)
    assert (again["number"], again["state"]) == (2, "waiting")
    assert ("panj", "order.expired", "order 1") in office.trail()


def test_an_order_is_cancelled_with_a_reason_and_leaves_what_is_not_done(office: Office, ruled: Pipeline, frontier: Frontier) -> None:
    office.need_second_person("replay")
    (event_id,) = hold(ruled, frontier, "cursed")
    office.type("held replay {id} --reason early", id=event_id)
    assert code_of(office.type("held cancel 1")) == "reason-missing"
    assert office.ask("held cancel 1 --dry-run")["outcomes"] == {"open": 1}
    assert office.ask("held resume 1 --dry-run")["outcomes"] == {"held": 1}
    assert office.rows("SELECT state FROM review_order") == [("waiting",)]
    assert office.ask("held cancel 1 --reason mistaken")["state"] == "cancelled"
    assert code_of(office.type("held cancel 1 --reason twice")) == "order-not-open"
    assert code_of(office.type("held resume 1")) == "order-not-open"
    assert office.ask("held orders 1")["items"][0]["outcome"] == "cancelled"
    assert office.ask("held orders --open") == []
    assert len(office.ask("held list")["held"]) == 1


def test_a_choice_must_be_clear_and_fit_something(office: Office, ruled: Pipeline, frontier: Frontier) -> None:
    (event_id,) = hold(ruled, frontier, "look")
    assert code_of(office.type("held replay --reason x")) == "selection-unclear"
    assert code_of(office.type("held replay {id} --all --reason x", id=event_id)) == "selection-unclear"
    assert code_of(office.type("held replay --code no-such --reason x")) == "selection-empty"
    assert code_of(office.type("held replay 1 --reason x")) == "held-unknown"
    assert code_of(office.type("held orders 7")) == "order-unknown"
    office.set('queue = "record"', 'queue = "other"')
    assert code_of(office.type("held replay --all --reason x")) == "queue-unserved"


def test_what_fails_for_another_reason_by_now_is_not_released_by_an_older_decision(
    office: Office, ruled: Pipeline, frontier: Frontier
) -> None:
    office.need_second_person("release")
    office.login("amina")
    (event_id,) = hold(ruled, frontier, "look")
    office.type("held release {id} --reason seen", id=event_id)
    with office.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE held SET code = 'seal-broken'")
    office.login("bahrom")
    said = office.type("held approve 1")
    assert said.exit_code == 1
    assert "1 changed" in said.stdout
    assert office.rows("SELECT released_by_order FROM held") == [(None,)]
    assert office.rows("SELECT count(*) FROM declaration") == [(0,)]


@pytest.mark.parametrize("kind", ["held", "parked"])
def test_a_new_database_is_told_and_not_made_by_looking(office: Office, kind: str, tmp_path: Path) -> None:
    office.set("database = ", f'database = "sqlite:///{tmp_path}/nothing.sqlite" #')
    assert code_of(office.type(f"{kind} list")) == "house-database-empty"
