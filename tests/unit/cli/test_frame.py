"""The frame of `panj`: groups found by entry points and loaded when called, errors as one line and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from broker.operations.output import print_table


def _panj(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120"} | ({"PYTHONPATH": str(path)} if path else {})
    return subprocess.run(
        [sys.executable, "-m", "broker.operations.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Install a partner's package: one good group, one plain command, one that is not whole, and commands that fail in different ways."""
    (tmp_path / "partner.py").write_text('''\
"""`panj partner`: what a partner adds. More text."""
import typer
from schemas.errors import SettingsError
commands = typer.Typer()

@commands.command()
def hello() -> None:
    """Say hello."""
    typer.echo("hello")

@commands.command()
def wrong() -> None:
    raise SettingsError("settings-value", "must be 1", field="a.b", value=2)

@commands.command()
def interrupted() -> None:
    raise KeyboardInterrupt

@commands.command()
def database() -> None:
    import sqlalchemy
    sqlalchemy.create_engine("sqlite:////nonexistent/x").connect()

@commands.command()
def defect() -> None:
    raise ZeroDivisionError

def single(name: str) -> None:
    """Greet one."""
    typer.echo(f"hello {name}")
''')
    info = tmp_path / "partner-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: partner\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[panj.commands]\npartner = partner:commands\ngreet = partner:single\nbroken = partner_missing:commands\n"
    )
    return tmp_path


def test_a_partners_package_adds_a_group_and_a_command(package: Path) -> None:
    assert _panj("partner", "hello", path=package).stdout == "hello\n"
    assert _panj("greet", "Panj", path=package).stdout == "hello Panj\n"


def test_help_lists_all_groups_with_a_line_each_and_imports_none(package: Path) -> None:
    answer = _panj("--help", path=package)
    assert answer.returncode == 0
    assert "What a partner adds." in answer.stdout
    assert "(not available: no module partner_missing)" in answer.stdout


def test_a_group_that_cannot_be_loaded_costs_only_itself(package: Path) -> None:
    broken = _panj("broken", "x", path=package)
    assert (broken.returncode, broken.stdout) == (3, "")
    assert broken.stderr.startswith("error [command-unavailable] `panj broken` cannot be loaded from partner_missing:commands")
    assert "Traceback" not in broken.stderr
    assert _panj("partner", "hello", path=package).returncode == 0


def test_our_errors_are_one_line_with_their_exit_code(package: Path) -> None:
    answer = _panj("partner", "wrong", path=package)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "error [settings-value] a.b: must be 1 (got '2')\n"


def test_a_database_that_is_away_is_readable(package: Path) -> None:
    answer = _panj("partner", "database", path=package)
    assert answer.returncode == 3
    assert answer.stderr == "error [database-unavailable] the database does not answer or refuses: unable to open database file\n"


def test_an_interrupt_ends_with_130_and_no_trace(package: Path) -> None:
    answer = _panj("partner", "interrupted", path=package)
    assert (answer.returncode, answer.stderr) == (130, "")


def test_a_defect_keeps_its_traceback(package: Path) -> None:
    answer = _panj("partner", "defect", path=package)
    assert answer.returncode == 1
    assert "ZeroDivisionError" in answer.stderr


def test_wrong_arguments_end_with_2() -> None:
    assert _panj("no-such-group").returncode == 2
    assert _panj("topology", "plan", "--no-such-option").returncode == 2


def test_settings_come_from_the_option_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "none.toml"
    answer = _panj("topology", "plan", "--config", str(missing))
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"error [settings-missing] {missing}: no such file")
    monkeypatch.setenv("PANJ_CONFIG", str(missing))
    assert _panj("topology", "plan").stderr == answer.stderr


def test_json_output_is_one_document_and_nothing_else() -> None:
    example = Path(__file__).parents[3] / "deploy" / "exchange.example.toml"
    answer = _panj("topology", "render", "--config", str(example))
    assert {user["name"] for user in json.loads(answer.stdout)["users"]} == {"tj-customs", "tj-panji-poyon", "link-af"}


def test_a_urn_is_printed_as_it_is_and_its_middle_is_no_pictogram(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("urn",), [("urn:customs:tj:panji-poyon",)])
    assert "urn:customs:tj:panji-poyon" in capsys.readouterr().out
