"""Who acts: the login that the kernel remembers, and only where there is none the one who called sudo, or who runs the command."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from broker import audit

ME = pwd.getpwuid(os.getuid()).pw_name
SOMEBODY = next(each for each in pwd.getpwall() if each.pw_uid not in (os.getuid(), 0))


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel says about the login."""
    file = tmp_path / "loginuid"
    monkeypatch.setattr(audit, "_LOGIN", file)
    monkeypatch.delenv("SUDO_USER", raising=False)
    return file


def test_the_kernels_login_is_believed_before_any_variable(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.write_text(str(SOMEBODY.pw_uid))
    for variable in ("SUDO_USER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    assert audit.actor() == SOMEBODY.pw_name


@pytest.mark.parametrize("content", ["4294967295", "", None])
def test_without_a_login_it_is_who_runs_the_command_whatever_the_environment_says(
    kernel: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        kernel.write_text(content)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    assert audit.actor() == ME


def test_behind_sudo_it_is_who_called_it_and_only_root_may_say_so(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "amina")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert audit.actor() == "amina"
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    assert audit.actor() == ME


def test_a_login_without_a_name_is_told_by_its_number(kernel: Path) -> None:
    kernel.write_text("3999999999")
    assert audit.actor() == "uid 3999999999"
