"""`panj post token`: tokens are printed once, kept as digests in a file for its owner only, and removed by name."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from broker.operations.cli import main
from producers.sources.http.tokens import Tokens, add_token, find_token, read_tokens
from schemas.errors import SettingsError

EXAMPLE = Path(__file__).parents[3] / "deploy" / "exchange.example.toml"
HTTP = '[posts.panji-poyon.http]\nlisten = "127.0.0.1:8443"\ntokens = "secrets/tokens"\n\n[home]'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "exchange.toml"
    path.write_text(EXAMPLE.read_text().replace("[home]", HTTP, 1))
    return path


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["post", "token", *words])
    return int(left.value.code or 0)


def test_a_token_is_printed_once_and_kept_as_its_digest(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config.parent / "secrets" / "tokens"
    assert run("asycuda", "--config", str(config), "--dry-run") == 0
    assert not file.exists()
    capsys.readouterr()
    assert run("asycuda", "--config", str(config), "--json") == 0
    token = json.loads(capsys.readouterr().out)["token"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text()
    found = find_token(read_tokens(file), token)
    assert found is not None
    assert (found.name, found.read_only) == ("asycuda", False)
    assert run("asycuda", "--config", str(config)) == 1
    assert "token-exists" in capsys.readouterr().err
    assert run("asycuda", "--config", str(config), "--remove") == 0
    assert read_tokens(file) == ()
    assert run("asycuda", "--config", str(config), "--remove") == 2


def test_a_wrong_name_and_a_post_without_http_are_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("No Such Name", "--config", str(config)) == 2
    assert "token-name" in capsys.readouterr().err
    config.write_text(EXAMPLE.read_text())
    assert run("asycuda", "--config", str(config)) == 2
    assert "tokens-none" in capsys.readouterr().err


def test_a_changed_file_counts_at_once_and_a_broken_one_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    first = add_token(file, "first")
    tokens = Tokens(file)
    assert tokens.find(first) is not None
    second = add_token(file, "second", read_only=True)
    found = tokens.find(second)
    assert found is not None
    assert found.read_only
    file.write_text(f"# a remark\n\n{file.read_text()}nonsense\n")
    with pytest.raises(SettingsError, match="line 5"):
        tokens.find(first)
