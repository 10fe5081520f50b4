"""Documents that count no versions, handed in: amendments, cancellations and re-exports become the next version of what was sent."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from broker.outbox.store import Outbox
from broker.settings.model import ReadingSettings, Settings
from producers.formats.reading import ReadDeclaration
from producers.formats.registry import reader_of
from producers.intake import Accepted, Intake, Outcome, Rejected
from producers.release import check_releases
from producers.sending import check_files
from schemas.errors import SettingsError
from schemas.names import house_of
from tests.unit.formats.ncts_files import AMENDED, CANCELLED, RELEASED, message
from tests.unit.formats.sads import sad
from tests.unit.formats.wco_files import CANCELLATION, ORIGINAL, declaration, metadata
from tests.unit.producers.examples import EXPORT, IMPORT, TRANSIT, export, release, settings_of

REASON = "registered anew in the national system"
PLAIN = {"date_order": "mdy"}
NEXT = PLAIN | {"versions": "next", "correction_reason": REASON}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, release(EXPORT), release(TRANSIT), home_releases=(release(EXPORT), release(IMPORT)))


def read(document: str, **reading: Any) -> list[ReadDeclaration]:
    reader = reader_of(ReadingSettings.model_validate(PLAIN | reading), administration="tj", time_zone="Asia/Dushanbe")
    parts = list(reader.read(io.BytesIO(document.encode())).parts)
    assert all(isinstance(part, ReadDeclaration) for part in parts), parts
    return [part for part in parts if isinstance(part, ReadDeclaration)]


def handed_in(intake: Intake, document: str, **reading: Any) -> list[int | str]:
    """The version of each declaration in a document, or the code of its refusal."""
    return [_told(outcome) for outcome in intake.accept(read(document, **reading))]


def _told(outcome: Outcome) -> int | str:
    return outcome.version if isinstance(outcome, Accepted) else outcome.problems[0].code


def sent(outbox: Outbox, country: str = "af") -> list[dict[str, Any]]:
    return [json.loads(row.raw)["data"] for row in outbox.waiting(house_of(country).urn, 1_000, 10**9)]


def corrected(outbox: Outbox) -> list[tuple[Any, ...]]:
    return [(data["version"], data["message_function"], data.get("corrects"), data.get("correction_reason")) for data in sent(outbox)]


def test_a_sad_that_is_exported_again_with_other_content_is_an_amendment(intake: Intake, outbox: Outbox) -> None:
    heavier = sad(Valuation__Total__Total_weight="21600")
    assert [handed_in(intake, each, **NEXT) for each in (sad(), sad(), heavier, heavier)] == [[1], [1], [2], [2]]
    assert corrected(outbox) == [(1, "original", None, None), (2, "amendment", 1, REASON)]
    assert len(sent(outbox, "tj")) == 2


def test_without_the_setting_it_is_still_a_conflict(intake: Intake) -> None:
    assert handed_in(intake, sad()) == [1]
    assert handed_in(intake, sad(Valuation__Total__Total_weight="21600")) == ["version-conflict"]


def test_where_nothing_says_why_it_is_refused_with_the_setting_that_would(intake: Intake) -> None:
    assert handed_in(intake, sad(), versions="next") == [1]
    (outcome,) = intake.accept(read(sad(Valuation__Total__Total_weight="21600"), versions="next"))
    assert isinstance(outcome, Rejected)
    assert [(problem.code, problem.field) for problem in outcome.problems] == [("correction-reason-missing", "correction_reason")]
    assert "posts.NAME.reading.correction_reason" in outcome.problems[0].text


def test_the_older_export_is_known_as_that_also_where_nothing_says_why_it_would_correct(intake: Intake) -> None:
    handed_in(intake, sad(), **NEXT)
    handed_in(intake, sad(Valuation__Total__Total_weight="21600"), **NEXT)
    assert handed_in(intake, sad(), versions="next") == ["version-older"]
    assert handed_in(intake, sad(Valuation__Total__Total_weight="21600"), versions="next") == ["correction-reason-missing"]


def test_the_older_export_once_more_does_not_undo_the_newer_one(intake: Intake, outbox: Outbox) -> None:
    handed_in(intake, sad(), **NEXT)
    handed_in(intake, sad(Valuation__Total__Total_weight="21600"), **NEXT)
    assert handed_in(intake, sad(), **NEXT) == ["version-older"]
    assert len(sent(outbox)) == 2


def test_a_transit_is_amended_and_cancelled_by_the_messages_of_ncts(intake: Intake, outbox: Outbox) -> None:
    released, amended, cancelled = message("CC029C", RELEASED), message("CC013C", AMENDED), message("CC014C", CANCELLED)
    assert handed_in(intake, amended, correction_reason=REASON) == ["correction-unknown"]
    assert [handed_in(intake, each, correction_reason=REASON) for each in (released, amended, cancelled, cancelled)] == [[1], [2], [3], [3]]
    assert corrected(outbox) == [
        (1, "original", None, None),
        (2, "amendment", 1, REASON),
        (3, "cancellation", 2, "written twice"),  # which the message says itself
    ]


def test_an_amendment_without_a_reason_names_the_setting(intake: Intake) -> None:
    handed_in(intake, message("CC029C", RELEASED))
    assert handed_in(intake, message("CC013C", AMENDED)) == ["correction-reason-missing"]


def test_original_and_cancellation_in_one_batch_follow_each_other(intake: Intake, outbox: Outbox) -> None:
    office = {"office": "TJ105000"}
    assert handed_in(intake, metadata(declaration(ORIGINAL), declaration(CANCELLATION)), **office) == [1, 2]
    assert [function for _, function, *_ in corrected(outbox)] == ["original", "cancellation"]


@pytest.mark.parametrize("known", ["before", "in the same batch"])
def test_a_cancellation_that_does_not_say_of_what_is_of_the_type_that_was_sent(intake: Intake, outbox: Outbox, known: str) -> None:
    number = "26TJ105000ABCDEF07"  # no letter of a procedure in it
    original = declaration(ORIGINAL.replace("EXA", "IMA").replace("26TJ105000ABCDEFA7", number))
    cancelled = declaration(CANCELLATION.replace("26TJ105000ABCDEFA7", number))
    office = {"office": "TJ105000"}
    assert handed_in(intake, metadata(cancelled), **office) == ["correction-unknown"]
    if known == "before":
        assert handed_in(intake, metadata(original), **office) == [1]
        assert handed_in(intake, metadata(cancelled), **office) == [2]
    else:
        assert handed_in(intake, metadata(original, cancelled), **office) == [1, 2]
    assert [(data["version"], data["message_function"]) for data in sent(outbox, "tj")] == [(1, "original"), (2, "cancellation")]
    assert sent(outbox) == []  # an import is released to its own house only


def test_canonical_json_may_leave_the_version_to_intake(intake: Intake, outbox: Outbox) -> None:
    def canonical(**changes: Any) -> str:
        return json.dumps({"type": EXPORT, "declaration": export(version="next", **changes)})

    reason = {"message_function": "amendment", "correction_reason": "weighed again"}
    assert handed_in(intake, canonical()) == [1]
    assert handed_in(intake, canonical(gross_mass_kg="21600", **reason)) == [2]
    assert handed_in(intake, canonical(gross_mass_kg="21700", corrects=1, **reason)) == ["rule-broken"]
    assert corrected(outbox)[1] == (2, "amendment", 1, "weighed again")


def test_a_stated_version_is_never_changed_by_the_setting(intake: Intake) -> None:
    stated = json.dumps({"type": EXPORT, "declaration": export(version=1)})
    assert handed_in(intake, stated, **NEXT) == [1]
    assert handed_in(intake, stated.replace("21500.5", "21600"), **NEXT) == ["version-conflict"]


def test_what_is_wrong_with_one_never_costs_the_others(intake: Intake) -> None:
    parts = [part for each in (sad(), sad(Valuation__Total__Total_weight="21600"), sad()) for part in read(each, **NEXT)]
    other = read(sad(Identification__Registration__Number="418"), **NEXT)
    assert [_told(outcome) for outcome in intake.accept([*parts, *other])] == [1, 2, "version-older", 1]


def test_a_release_that_does_not_name_the_version_says_so(tmp_path: Path) -> None:
    named = ("administration", "office_code", "registration_year", "registration_number", "message_function", "corrects", "items")
    with pytest.raises(SettingsError, match="correction_reason, version"):
        check_releases(settings_of(tmp_path, release(EXPORT, *named)))


def test_a_dry_run_shows_no_number_that_is_not_given_yet(settings: Settings) -> None:
    reads = [*read(sad(), **NEXT), *read(metadata(declaration(CANCELLATION.replace("DEFA7", "DEF07"))), office="TJ105000")]
    told = check_files([("a file", part) for part in reads], settings)
    assert [(one.version, one.problems) for one in told] == [(None, ())] * 3
    assert {one.destination for one in told} == {house_of("af").urn, house_of("tj").urn, None}
