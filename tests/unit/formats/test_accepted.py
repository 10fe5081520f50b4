"""What WCO and NCTS files become, and what a post does with it: whole declarations are ready for the houses they are released to."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.formats.ncts.format import FORMAT as NCTS
from producers.formats.reading import Conventions, Format
from producers.formats.wco.format import FORMAT as WCO
from producers.intake import prepare, routes_of
from schemas.errors import ContentError
from tests.unit.formats.ncts_files import ARRIVED, BODY, MRN, RELEASED, message
from tests.unit.formats.reading import DUSHANBE, taken
from tests.unit.formats.wco_files import AMENDMENT, declaration, metadata
from tests.unit.producers.examples import CROSSING, EXPORT, TRANSIT, release, settings_of

AT_HOME = ARRIVED.replace("AF000010", "TJ105000")


@pytest.mark.parametrize(
    ("reader", "document", "reference"),
    [
        (WCO, metadata(declaration()), "TJ/TJ105000/2026/26TJ105000ABCDEFA7"),
        (NCTS, message("CC029C", RELEASED), f"TJ/TJ105000/2026/{MRN}"),
        (NCTS, message("CC007C", AT_HOME), "TJ/TJ105000/crossing/M-9104"),
    ],
    ids=["WCO declaration", "release for transit", "arrival"],
)
def test_what_is_whole_is_ready_for_the_neighbour(tmp_path: Path, reader: Format, document: str, reference: str) -> None:
    settings = settings_of(tmp_path, release(EXPORT), release(TRANSIT), release(CROSSING))

    prepared = prepare(taken(reader, document, DUSHANBE), settings.country, routes_of(settings))

    assert [draft.reference for draft in prepared.drafts] == [reference]


@pytest.mark.parametrize(
    ("reader", "document", "conventions", "field"),
    [
        (WCO, metadata(declaration()), Conventions(), "administration"),
        (WCO, metadata(declaration(AMENDMENT)), DUSHANBE, "corrects"),
        (NCTS, message("CC015C", BODY), DUSHANBE, "registration_year"),
        (NCTS, message("CC007C", AT_HOME), Conventions(), "occurred_at"),
    ],
    ids=["no settings", "amendment by pointers", "lodged only", "no time zone"],
)
def test_a_draft_is_never_sent(tmp_path: Path, reader: Format, document: str, conventions: Conventions, field: str) -> None:
    settings = settings_of(tmp_path, release(EXPORT), release(TRANSIT), release(CROSSING))

    with pytest.raises(ContentError) as refused:
        prepare(taken(reader, document, conventions), settings.country, routes_of(settings))

    assert [(problem.code, problem.field) for problem in refused.value.problems] == [("declaration-draft", field)]
