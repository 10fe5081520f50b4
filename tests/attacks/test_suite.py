"""The suite of attacks can fail: what gets in, what crashes, and a check that sees nothing are told, and end the run with 1."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from tests.attacks import __main__ as suite
from tests.attacks.families import Family
from tests.attacks.opening.certificates import attack_with_certificates
from tests.attacks.opening.run import attack_opening
from tests.attacks.rows import Row, last_line


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_small_run_through_the_opening_code_holds_and_each_control_is_seen_to_fail() -> None:
    rows = list(attack_opening(1_200, 1))
    assert [row for row in rows if not row.held] == []
    assert sum(row.control is True for row in rows) > 25


def test_no_certificate_speaks_that_must_not_and_each_control_is_seen_to_fail() -> None:
    rows = list(attack_with_certificates(1))
    assert [row for row in rows if not row.held] == []
    assert all(row.control for row in rows)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (Row("family", "attack", 10), 0),
        (Row("family", "attack", 10, control=True), 0),
        (Row("family", "attack", 10, got_in=1), 1),
        (Row("family", "attack", 10, crashed=1), 1),
        (Row("family", "attack", 10, control=False), 1),
        (Row("family", "attack", 0), 1),
    ],
)
def test_only_a_run_in_which_everything_held_ends_with_nought(
    row: Row, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite, "FAMILIES", (Family("family", "for a test", lambda run: [row]),))
    monkeypatch.setattr("sys.argv", ["attacks", "--only", "family"])
    assert suite.main() == code
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == {"attacks": 1, "tries": row.tries, "got_in": row.got_in, "crashed": row.crashed}


def test_a_family_that_fails_itself_ends_the_run_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> list[Row]:
        raise RuntimeError("no broker")

    monkeypatch.setattr(suite, "FAMILIES", (Family("family", "for a test", fail),))
    monkeypatch.setattr("sys.argv", ["attacks"])
    assert suite.main() == 1


def test_the_last_line_sums_the_rows() -> None:
    rows = [Row("a", "x", 3), Row("a", "y", 4, got_in=2, crashed=1)]
    assert json.loads(last_line(rows)) == {"attacks": 2, "tries": 7, "got_in": 2, "crashed": 1}
