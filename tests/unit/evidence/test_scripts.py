"""The complete scripts of docs/evidence.md, run as they stand: what they say of whole files, and of spoiled ones."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.evidence.cases import AF, HOUSE, HOUSE_PAIR, POST, TJ, Crossing, listed, revoking

PAGE = Path(__file__).parents[3] / "docs/evidence.md"
CROSSING = Crossing()
FILES = {"post": CROSSING.file(CROSSING.of_post()), "house": CROSSING.file(CROSSING.of_house())}
TOLD = [
    f"{POST.urn} signed the event, by its own clock 2026-11-24T",
    f"{HOUSE.urn} answered LOADED for exactly this event",
    "closing 17, signed by both sides, covers exactly this event",
]
Run = Callable[[Path], subprocess.CompletedProcess[str]]


def script(language: str) -> str:
    """The page's one script in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(found)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with both authorities' certificates."""
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust/tj.pem").write_bytes(TJ.pem)
    (tmp_path / "trust/af.pem").write_bytes(AF.pem)
    return tmp_path


@pytest.fixture(params=["openssl", "node"])
def run(request: pytest.FixtureRequest, place: Path) -> Run:
    """Either script, on a file."""
    if request.param == "openssl":
        for program in ("openssl", "jq", "basenc", "bash"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        (place / "check.sh").write_text(script("sh"))
        environment = {**os.environ, "TRUST": str(place / "trust")}
        return lambda file: subprocess.run(
            ["/bin/bash", place / "check.sh"],
            env=environment | {"FILE": str(file)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    node, modules = shutil.which("node"), jose_modules()
    if node is None or modules is None:
        pytest.skip("node and its package jose 6 are not both there: npm install jose, and PANJ_NODE_MODULES=…/node_modules")
    (place / "node_modules").symlink_to(modules)
    (place / "check.mjs").write_text(script("js"))
    return lambda file: subprocess.run(
        [node, place / "check.mjs", file, place / "trust"], capture_output=True, text=True, check=False, timeout=60
    )


def jose_modules() -> Path | None:
    """Where jose 6 is installed."""
    places = [
        os.environ.get("PANJ_NODE_MODULES", ""),
        str(PAGE.parents[1] / "node_modules"),
        "/usr/lib/node_modules",
        "/usr/local/lib/node_modules",
    ]
    for each in map(Path, filter(None, places)):
        package = each / "jose/package.json"
        if package.is_file() and json.loads(package.read_text())["version"].startswith("6."):
            return each
    return None


@pytest.mark.parametrize("side", FILES)
def test_a_whole_file_holds(run: Run, place: Path, side: str) -> None:
    (place / "evidence.json").write_bytes(FILES[side])
    done = run(place / "evidence.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("Everything that was checked holds")
    for line in TOLD:
        assert line in done.stdout


@pytest.mark.parametrize("part", ["event", "receipt", "manifest", "answer"])
def test_a_changed_byte_does_not_hold_even_where_the_exporter_sealed_it(run: Run, place: Path, part: str) -> None:
    made = CROSSING.of_post()
    document = made.model_dump(mode="json", exclude_none=True)
    entry = document["events"][0]
    statement = entry[part] if part in entry else entry["closing"][part]
    raw = base64.b64decode(statement["raw"])
    statement["raw"] = base64.b64encode(raw.replace(b'"salt":"', b'"salt":"A')).decode()
    (place / "evidence.json").write_bytes(CROSSING.file(type(made).model_validate(document)))
    done = run(place / "evidence.json")
    assert done.returncode != 0
    assert "Everything" not in done.stdout


def test_a_stranger_s_authority_and_a_changed_account_do_not_hold(run: Run, place: Path) -> None:
    (place / "evidence.json").write_bytes(FILES["house"].replace(b'"environment":"test"', b'"environment":"best"'))
    assert run(place / "evidence.json").returncode != 0
    (place / "trust/tj.pem").write_bytes(AF.pem)
    (place / "evidence.json").write_bytes(FILES["house"])
    assert run(place / "evidence.json").returncode != 0


def test_openssl_tells_a_revoked_certificate(place: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    newer = revoking(AF, 8, HOUSE_PAIR, CROSSING.closed_at)
    made = CROSSING.of_post()
    made = made.model_copy(update={"crls": (made.crls[0], listed("af", newer))})
    (place / "evidence.json").write_bytes(CROSSING.file(made))
    (place / "check.sh").write_text(script("sh"))
    environment = {**os.environ, "TRUST": str(place / "trust"), "FILE": str(place / "evidence.json")}
    done = subprocess.run(["/bin/bash", place / "check.sh"], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "its certificate is revoked:        Revocation Date: Nov 24 13:00:00 2026 GMT" in done.stdout
