"""Intake into a real outbox: what is accepted, what is told, and that one bad declaration never costs another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from broker.outbox.store import Outbox
from broker.outbox.values import Draft
from broker.settings.model import Settings
from producers.formats.reading import ReadDeclaration
from producers.intake import Accepted, Intake, Outcome, Rejected, prepare, routes_of
from schemas.errors import ContentError, SettingsError
from schemas.names import Party, house_of
from tests.unit.producers.conftest import POST
from tests.unit.producers.examples import CROSSING, EXPORT, IMPORT, TRANSIT, crossing, export, release, settings_of

IDENTITY = (
    *("administration", "office_code", "registration_year", "registration_number"),
    *("version", "message_function", "corrects", "correction_reason"),
)


def read(data: dict[str, Any], event_type: str = EXPORT) -> ReadDeclaration:
    return ReadDeclaration(event_type, data)


def code_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Rejected), outcome
    return outcome.problems[0].code


def waiting(outbox: Outbox, destination: Party) -> list[dict[str, Any]]:
    return [json.loads(row.raw) for row in outbox.waiting(destination.urn, 10_000, 10**9)]


def test_a_declaration_goes_to_every_house_that_it_is_released_to(intake: Intake, outbox: Outbox) -> None:
    (outcome,) = intake.accept([read(export())])
    assert isinstance(outcome, Accepted)
    assert not outcome.duplicate
    assert (outcome.reference, outcome.version) == ("TJ/TJ105000/2026/1001", 1)
    assert {acceptance.destination.country for acceptance in outcome.acceptances} == {"af", "tj"}
    (event,) = waiting(outbox, house_of("af"))
    assert event["source"] == POST.urn
    assert event["purpose"] == "customs-control"
    assert event["data"]["items"][1]["gross_mass_kg"] == "1500.5"
    assert (event["data"]["version"], event["data"]["message_function"]) == (1, "original")


def test_an_import_stays_on_its_own_side(intake: Intake, outbox: Outbox) -> None:
    intake.accept([read(export(), IMPORT)])
    assert waiting(outbox, house_of("af")) == []
    assert len(waiting(outbox, house_of("tj"))) == 1


def test_the_same_declaration_twice_is_the_same_event_however_it_is_spelt(intake: Intake, outbox: Outbox) -> None:
    (first,) = intake.accept([read(export())])
    again = dict(reversed(list(export(guarantee=None, version=1).items())))
    again.pop("guarantee")
    (second,) = intake.accept([read({**again, "containerised": None})])
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert second.duplicate
    assert [one.event_id for one in second.acceptances] == [one.event_id for one in first.acceptances]
    assert len(waiting(outbox, house_of("af"))) == 1


def test_the_same_declaration_twice_in_one_batch_is_one_event(intake: Intake, outbox: Outbox) -> None:
    _, second = intake.accept([read(export()), read(export())])
    assert isinstance(second, Accepted)
    assert second.duplicate
    assert len(waiting(outbox, house_of("af"))) == 1


def test_other_content_under_the_same_version_is_rejected_and_its_neighbours_are_taken(intake: Intake, outbox: Outbox) -> None:
    intake.accept([read(export("5"))])
    batch = [read(export(str(number))) for number in range(1, 10)]
    batch[4] = read(export("5", exporter_name="another"))
    batch.append(read(export("6", exporter_name="yet another")))
    outcomes = intake.accept(batch)
    assert [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Rejected)] == [4, 9]
    assert code_of(outcomes[4]) == "version-conflict"
    assert "next version" in str(outcomes[4].problems[0])  # type: ignore[union-attr]
    assert len(waiting(outbox, house_of("af"))) == 9


def test_a_corrected_declaration_is_taken_as_the_next_version(intake: Intake, outbox: Outbox) -> None:
    intake.accept([read(export())])
    amended = export(version=2, message_function="amendment", corrects=1, correction_reason="mass", gross_mass_kg="21000")
    cancelled = {name: value for name, value in export().items() if name != "items"}
    cancelled |= {"version": 3, "message_function": "cancellation", "corrects": 2, "correction_reason": "not exported"}
    outcomes = intake.accept([read(amended), read(cancelled)])
    assert [outcome.version for outcome in outcomes if isinstance(outcome, Accepted)] == [2, 3]


def test_all_problems_of_a_bad_declaration_are_told_at_once(intake: Intake) -> None:
    bad = export(office_code="!", gross_mass_kg="-1", unknown="x")
    bad["items"][0]["hs_code"] = "12"
    (outcome,) = intake.accept([read(bad)])
    assert isinstance(outcome, Rejected)
    assert {problem.field for problem in outcome.problems} == {"office_code", "gross_mass_kg", "unknown", "items.0.hs_code"}


def test_another_administrations_declaration_is_not_ours_to_send(intake: Intake) -> None:
    (outcome,) = intake.accept([read(export(administration="uz"))])
    assert code_of(outcome) == "administration-foreign"


def test_what_is_released_to_nobody_is_rejected_with_what_to_do(intake: Intake, outbox: Outbox) -> None:
    (outcome,) = intake.accept([read(export(), TRANSIT)])
    assert code_of(outcome) == "release-none"
    assert waiting(outbox, house_of("af")) == []


def test_only_released_fields_enter_an_event(tmp_path: Path) -> None:
    routes = routes_of(settings_of(tmp_path, release(EXPORT, *IDENTITY, "items.number", "items.hs_code")))
    (draft,) = prepare(read(export(extensions={"secret": "price"})), "tj", routes).drafts
    assert isinstance(draft, Draft)
    text = json.dumps(draft.data, ensure_ascii=False)
    for unreleased in ("Мева", "قندوز", "Apples", "21500", "price"):
        assert unreleased not in text
    assert draft.data["items"] == [{"number": 1, "hs_code": "080810"}, {"number": 2, "hs_code": "081310"}]


def test_an_unreleased_correction_is_still_told_from_its_first_version(tmp_path: Path, outbox: Outbox) -> None:
    """The digest is over the full content: a silent change of a field that does not leave is a conflict all the same."""
    intake = Intake(settings_of(tmp_path, release(EXPORT, *IDENTITY, "items")), POST, outbox)
    intake.accept([read(export())])
    (outcome,) = intake.accept([read(export(exporter_name="another"))])
    assert code_of(outcome) == "version-conflict"


def test_a_crossing_event_is_taken_like_a_declaration(intake: Intake, outbox: Outbox) -> None:
    (outcome,) = intake.accept([read(crossing(), CROSSING)])
    assert isinstance(outcome, Accepted)
    assert waiting(outbox, house_of("af"))[0]["subject"] == "TJ/TJ105000/crossing/X1"


def test_a_declaration_too_large_for_an_event_is_told_before_it_is_numbered(settings: Settings) -> None:
    bulky = {f"note{index}": ["x" * 2_000] * 4 for index in range(190)}
    with pytest.raises(ContentError) as caught:
        prepare(read(export(extensions=bulky)), "tj", routes_of(settings))
    assert caught.value.code == "declaration-too-large"


def test_a_release_that_does_not_hang_together_stops_the_post_at_its_start(tmp_path: Path, outbox: Outbox) -> None:
    with pytest.raises(SettingsError):
        Intake(settings_of(tmp_path, release(EXPORT, "exporter_name")), POST, outbox)
