"""Every real WCO and NCTS file that we have, read with no settings at all: the right outcome for the right reason (VALIDITY.csv)."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from producers.conversion import Document, try_file
from producers.formats.registry import Reader, load_formats
from tests.unit.formats.samples import SAMPLES, needs_samples

# How the schema processor's first words name what is wrong, and the codes that say the same.
_REASONS = (
    ("no Declaration in DEC-DMS:2", {"namespace-wrong"}),
    ("[facet", {"field-invalid"}),
    ("Missing child element", {"element-missing"}),
    ("This element is not expected", {"element-unknown", "element-misplaced", "element-missing"}),
)


def _expected() -> list[tuple[str, str, set[str | None]]]:
    if not SAMPLES.is_dir():
        return []
    with (SAMPLES / "VALIDITY.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["file"].startswith(("wco_", "ncts_p5/"))]
    return [(row["file"], *_outcome(row)) for row in rows]


def _outcome(row: dict[str, str]) -> tuple[str, set[str | None]]:
    if row["file"].startswith("wco_res") or "DMSRES" in row["file"]:
        return "refused", {"message-response"}
    if row["well_formed"] == "False":
        return "refused", {"xml-malformed"}
    if row["valid"] == "True":
        return "taken", {None}
    return "refused", set(next(codes for words, codes in _REASONS if words in row["first_error"]))


EXPECTED = _expected()


@needs_samples
@pytest.mark.parametrize(("file", "outcome", "codes"), EXPECTED, ids=[Path(file).name for file, *_ in EXPECTED])
def test_a_real_file_gets_the_right_outcome_for_the_right_reason(file: str, outcome: str, codes: set[str | None]) -> None:
    taken: list[Document] = []

    result = try_file(SAMPLES / file, Reader(load_formats()), taken.append).told()

    assert (result["outcome"], result["code"] in codes) == (outcome, True), result
    assert result["format"] == ("ncts" if file.startswith("ncts") else "wco")
    assert bool(taken) == (outcome == "taken")
    assert outcome == "taken" or result["line"]


@needs_samples
def test_every_real_file_of_these_kinds_is_tried() -> None:
    folders = ("wco_dec", "wco_dec_malformed", "wco_res_notification", "ncts_p5")
    there = {str(path.relative_to(SAMPLES)) for folder in folders for path in (SAMPLES / folder).iterdir()}

    assert there == {file for file, *_ in EXPECTED}
