"""Every code stands in the catalogue, and every code of the catalogue is used."""

from __future__ import annotations

import re

import pytest

from schemas.catalogue import CATALOGUE, areas
from tests.unit.schemas.raised_codes import raised, sources, texts

SOURCES = list(sources())
FORM = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


@pytest.mark.parametrize(("path", "tree"), SOURCES, ids=[str(path) for path, _ in SOURCES])
def test_every_code_that_is_raised_stands_in_the_catalogue(path: object, tree: object) -> None:
    unknown = sorted({code for code in raised(tree) if code not in CATALOGUE})  # type: ignore[arg-type]
    assert not unknown, f"{path} raises codes that schemas/catalogue.py does not explain: {', '.join(unknown)}"


def test_every_code_of_the_catalogue_is_used() -> None:
    written = {text for path, tree in SOURCES if str(path) != "schemas/catalogue.py" for text in texts(tree)}
    unused = sorted(set(CATALOGUE) - written)
    assert not unused, f"nobody raises these codes: {', '.join(unused)}"


def test_the_search_finds_the_codes_of_all_ways_to_raise_one() -> None:
    found = {code for _, tree in SOURCES for code in raised(tree)}
    assert {"json-syntax", "settings-syntax", "trust-revoked", "bundle-form"} <= found


def test_no_code_stands_twice_and_all_are_words_with_hyphens() -> None:
    listed = [entry.code for _, entries in areas() for entry in entries]
    assert len(listed) == len(set(listed)) == len(CATALOGUE)
    assert all(FORM.match(code) and len(code) <= 64 for code in listed)


def test_every_area_is_described_and_has_codes() -> None:
    assert all(": " in area and entries for area, entries in areas())
