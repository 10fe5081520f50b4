"""An office of the Afghan customs house for tests: its exchange.toml, and people who type commands under logins of their own."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, text
from typer import Typer
from typer.testing import CliRunner, Result

from broker import audit
from consumers.review import held_commands, parked_commands
from consumers.tables import audit as trail
from deploy.lab.administrations import AFGHAN, TAJIK, Administration, Timing
from tests.integration.consumers.frontier import Frontier

COMMANDS: dict[str, Typer] = {"held": held_commands.commands, "parked": parked_commands.commands}


def without_password(url: str, file: Path) -> str:
    """The URL as settings may have it: the password in a file."""
    parsed = make_url(url)
    if parsed.password is None:
        return url
    file.write_text(f"*:*:*:*:{parsed.password}")
    file.chmod(0o600)
    bare = url.replace(f":{parsed.password}@", "@")
    return f"{bare}?passfile={file}"


class Office:
    """The house's settings, its database, and a keyboard; the partner is the frontier's."""

    def __init__(self, directory: Path, url: str, frontier: Frontier, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = engine
        self._monkeypatch = monkeypatch
        afghan, tajik = Administration(AFGHAN, directory / "af"), Administration(TAJIK, directory / "tj")
        afghan.befriend(tajik)
        database = without_password(url, directory / "pgpass")
        nowhere = "http://127.0.0.1:1"
        afghan.write_settings(amqps_port=1, management_url=nowhere, database=database, partner="tj", partner_port=1, timing=Timing())
        self.config = afghan.config
        self.anchor = afghan.directory / "trust" / "tj" / "anchor.pem"
        shutil.copy(frontier.tajik.anchor, self.anchor)
        for crl in frontier.tajik.crl.parent.glob("*.crl"):
            shutil.copy(crl, afghan.directory / "trust" / "tj" / "crls" / "tj.crl")
        self.set('handler = "consumers.loaders.record"', 'handler = "tests.integration.consumers.rules"')

    def set(self, was: str, now: str) -> None:
        """Edit exchange.toml."""
        content = self.config.read_text()
        assert was in content
        self.config.write_text(content.replace(was, now))

    def need_second_person(self, *actions: str) -> None:
        """Ask for a second person in exchange.toml."""
        self.set("[house]\n", f"[house]\nsecond_person = {json.dumps(list(actions))}\n")

    def login(self, name: str) -> None:
        """Sit down as somebody else."""
        if os.geteuid() != 0:
            pytest.skip("another login can be played by root only")
        self._monkeypatch.setenv("SUDO_USER", name)
        if audit.actor() != name:
            pytest.skip("the kernel knows who logged in here: nobody else can be played")

    def type(self, line: str, **words: str) -> Result:
        """Type `panj <line>`; words in braces are replaced."""
        group, *rest = line.split()
        arguments = [word.format(**words) for word in rest]
        return CliRunner().invoke(COMMANDS[group], [*arguments, "--config", str(self.config)])

    def ask(self, line: str, **words: str) -> Any:
        """Type it with --json, and give the document."""
        said = self.type(f"{line} --json", **words)
        assert said.stdout, said.exception
        return json.loads(said.stdout)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def trail(self) -> list[tuple[str, str, str]]:
        """What the audit trail says: actor, action, subject; and it hangs together."""
        with self.engine.connect() as connection:
            found = audit.entries(connection, trail)
        assert audit.first_broken(found) is None
        return [(entry.actor, entry.action, entry.subject) for entry in found]
