"""What `panj status`, `panj trace` and `panj audit` say of held and parked and of what people decided, on both databases."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Engine, update
from typer.testing import CliRunner

from broker.audit import Act, append, entries
from broker.operations.audit_commands import commands as audit_commands
from broker.operations.contributions import Attention, Reading
from broker.operations.trails import Head, Trail, judge, trails_of_outboxes
from broker.outbox.store import Outbox
from broker.settings.load import load_settings
from broker.trust.anchors import TrustStore
from consumers.operations import observe, trace
from consumers.pipeline import Pipeline
from consumers.tables import audit, held, review_order
from schemas.errors import UsageError
from schemas.names import EventType
from tests.integration.consumers.conftest import Hands
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import Frontier, declaration
from tests.integration.consumers.office import Office
from tests.integration.consumers.test_held_commands import hold


def readings(office: Office) -> dict[tuple[str, str], Reading]:
    return {(reading.subject, reading.name): reading for reading in observe(load_settings(office.config))}


def audited(office: Office, *words: str) -> tuple[int, list[dict[str, object]]]:
    """Type `panj audit … --json`."""
    said = CliRunner().invoke(audit_commands, [*words, "--json", "--config", str(office.config)])
    assert said.stdout, said.exception
    return said.exit_code, json.loads(said.stdout)


def test_status_alarms_by_the_age_of_what_is_held(
    office: Office, ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    assert readings(office)[("af-customs", "held")].value == 0
    hold(ruled, frontier, "look", "cursed")
    found = readings(office)
    assert (found[("af-customs", "held")].value, found[("af-customs", "held")].attention) == (2, Attention.WATCH)
    assert found[("af-customs", "held longest")].attention is Attention.WATCH
    with engine.begin() as connection:
        connection.execute(update(held).values(first_held_at_utc=clock() - timedelta(hours=2)))
    longest = readings(office)[("af-customs", "held longest")]
    assert (longest.value, longest.unit, longest.attention) == (120, "min", Attention.ACT)
    with engine.begin() as connection:
        connection.execute(update(held).values(next_attempt_at_utc=None))
    assert "2 are left to a person" in readings(office)[("af-customs", "held")].advice


def test_status_tells_parked_messages_group_by_group(office: Office, ruled: Pipeline, frontier: Frontier) -> None:
    assert readings(office)[("af-customs", "parked")].attention is Attention.FINE
    strangers = replace(ruled, trust=TrustStore({}, {}))
    for number in range(3):
        strangers.process(frontier.deliveries([frontier.post.event(declaration(f"p{number}"))]))
    found = readings(office)
    assert found[("af-customs", "parked")].value == 3
    group = found[("af-customs tj af-customs.record", "parked: trust-country-unknown")]
    assert (group.value, group.attention) == (3, Attention.ACT)
    name = group.advice.split("--group ")[1].rstrip('"')
    assert len(office.ask(f"parked list --group {name}")["parked"]) == 3


def test_status_asks_for_the_second_person_and_tells_orders_that_nobody_carries_out(
    office: Office, ruled: Pipeline, frontier: Frontier, engine: Engine, clock: Hands
) -> None:
    office.need_second_person("release")
    hold(ruled, frontier, "look", "cursed")
    office.type("held release --code valuation-check --reason seen")
    waiting = readings(office)[("af-customs", "orders waiting: held")]
    assert (waiting.value, waiting.attention) == (1, Attention.ACT)
    assert ("af-customs", "orders waiting: parked") not in readings(office)
    office.type("held replay --code handler-surprise --reason mended --later")
    assert ("af-customs", "orders not done") not in readings(office)
    with engine.begin() as connection:
        connection.execute(update(review_order).values(ordered_at_utc=clock() - timedelta(hours=1)))
    assert readings(office)[("af-customs", "orders not done")].attention is Attention.ACT
    with engine.begin() as connection:
        connection.execute(update(review_order).values(expires_at_utc=clock() - timedelta(hours=1)))
    assert ("af-customs", "orders waiting: held") not in readings(office)


def test_trace_tells_who_decided_what_about_a_declaration(office: Office, ruled: Pipeline, frontier: Frontier) -> None:
    office.need_second_person("release")
    office.login("amina")
    hold(ruled, frontier, "look")
    office.type("held release --all --reason seen")
    office.login("bahrom")
    office.type("held approve 1")
    steps = list(trace(load_settings(office.config), "TJ/TJPNJ/2026/h1"))
    (released,) = [step for step in steps if step.what == "released"]
    assert released.detail == "order 1 by amina, approved by bahrom: seen; outcome loaded"
    assert {step.what for step in steps} == {"received", "held", "released", "loaded"}


def test_the_trail_is_listed_by_who_what_and_when(office: Office, ruled: Pipeline, frontier: Frontier) -> None:
    ids = hold(ruled, frontier, "look", "look")
    office.type("held discard --all --reason wrong")
    _, listed = audited(office, "list")
    assert [entry["action"] for entry in listed] == ["order.made", "held.discarded", "held.discarded"]
    assert {entry["unit"] for entry in listed} == {"af-customs"}
    assert len(audited(office, "list", "--subject", ids[0])[1]) == 1
    assert len(audited(office, "list", "--action", "held")[1]) == 2
    assert audited(office, "list", "--action", "hel")[1] == []
    assert audited(office, "list", "--actor", "nobody-of-ours")[1] == []
    assert audited(office, "list", "--since", "2999-01-01")[1] == []
    assert len(audited(office, "list", "--until", "2999-01-01", "--limit", "1")[1]) == 1
    wrong = CliRunner().invoke(audit_commands, ["list", "--since", "soon", "--config", str(office.config)])
    assert isinstance(wrong.exception, UsageError)
    table = CliRunner().invoke(audit_commands, ["list", "--config", str(office.config)]).stdout
    assert "outcome refused" in table


def test_a_whole_trail_is_told_so_and_one_whose_end_was_cut_off_is_not(
    office: Office, frontier: Frontier, engine: Engine, clock: Hands, ruled: Pipeline
) -> None:
    hold(ruled, frontier, "look")
    office.type("held discard --all --reason wrong")
    desk = ControlDesk(engine, frontier, frontier.new_post("shughnon"))
    desk.say(EventType.MANIFEST, {"number": 1, "closed_at": "2026-11-24T05:00:00Z", "streams": []})
    desk.heard()
    code, (verdict,) = audited(office, "verify")
    assert (code, verdict["whole"], verdict["entries"], verdict["heads_checked"]) == (0, True, 2, 1)
    assert audited(office, "verify", "--unit", "af-customs", "--head", str(verdict["head"]))[0] == 0
    cut = audited(office, "verify", "--unit", "af-customs", "--head", "A" * 43)
    assert (cut[0], cut[1][0]["missing_heads"]) == (1, [{"where": "given", "digest": "A" * 43}])
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER ALL")
        else:
            connection.exec_driver_sql("DROP TRIGGER audit_delete")
        connection.exec_driver_sql("DELETE FROM audit WHERE sequence = 2")
    code, (verdict,) = audited(office, "verify")
    assert (code, verdict["broken_at"]) == (1, None)  # the chain itself cannot tell
    assert "closing 1 with urn:customs:tj:shughnon" in json.dumps(verdict["missing_heads"])
    said = CliRunner().invoke(audit_commands, ["verify", "--config", str(office.config)])
    assert said.exit_code == 1
    assert "BROKEN" in said.stdout


def test_a_changed_entry_and_one_taken_out_are_found(engine: Engine, clock: Hands) -> None:
    with engine.begin() as connection:
        for number in range(4):
            append(connection, audit, Act("amina", "order.made", f"order {number}", "because"), clock())
        trail = entries(connection, audit)
    assert judge(Trail("x", trail)).whole
    assert judge(Trail("x", [*trail[:1], trail[1]._replace(reason="another"), *trail[2:]])).broken_at == 2
    assert judge(Trail("x", [*trail[:1], *trail[2:]])).broken_at == 3
    assert judge(Trail("x", trail[:3], [Head("note", trail[3].digest)])).missing == (Head("note", trail[3].digest),)


def test_posts_outboxes_on_this_machine_have_their_trails_too(office: Office) -> None:
    settings = load_settings(office.config)
    assert list(trails_of_outboxes(settings)) == []
    name = next(iter(settings.posts))
    Outbox.open(settings.posts[name].outbox, settings.post_party(name), settings.environment).close()
    (trail,) = trails_of_outboxes(settings)
    assert (trail.unit, list(trail.entries)) == (settings.post_party(name).unit, [])
    said = CliRunner().invoke(audit_commands, ["verify", "--unit", "af-nowhere", "--config", str(office.config)])
    assert isinstance(said.exception, UsageError)
