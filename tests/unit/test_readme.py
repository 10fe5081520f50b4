"""The README is short, and leads only to what is there."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text("utf-8")


def test_it_has_under_a_hundred_lines() -> None:
    assert len(TEXT.splitlines()) < 100


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_command_and_target_that_it_names_is_there() -> None:
    groups = {point.name for point in entry_points(group="panj.commands")}
    assert set(re.findall(r"^ {4}panj ([a-z]+)", TEXT, re.MULTILINE)) <= groups
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"^ {4}make ([a-z-]+)", TEXT, re.MULTILINE)) <= targets
