"""`panj evidence verify` as somebody far away types it: a file, two CA certificates, nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from broker.evidence.commands import commands
from broker.trust.testimony import PinnedAnchor
from schemas.errors import PanjError, SettingsError, UsageError
from tests.unit.evidence.cases import AF, ASKED, HOUSE, POST, POST_PAIR, TJ, Crossing, revoking
from tests.unit.trust.certificates import NOW, leaf, make, root

CROSSING = Crossing()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "tj.pem").write_bytes(TJ.pem)
    (tmp_path / "af.pem").write_bytes(AF.pem)
    (tmp_path / "post.json").write_bytes(CROSSING.file(CROSSING.of_post()))
    return tmp_path


def verify(place: Path, *words: str, file: str = "post.json", trust: tuple[str, ...] = ("tj", "af")) -> Result:
    given = [word for country in trust for word in ("--trust", f"{country}={place / country}.pem")]
    return CliRunner().invoke(commands, ["verify", str(place / file), *given, "--at", ASKED.isoformat(), *words])


def test_each_line_says_how_far_it_goes_and_the_end_code_follows(place: Path) -> None:
    whole = verify(place)
    assert whole.exit_code == 0
    assert f"  proven         {POST.urn} signed these bytes" in whole.stdout
    assert f"  proven         {HOUSE.urn} answered LOADED for exactly this event" in whole.stdout
    assert whole.stdout.rstrip().endswith("All that the file claims is proven.")
    assert "trusted for tj: CN=authority of tj, SHA-256 " in whole.stdout
    half = verify(place, trust=("tj",))
    assert half.exit_code == 1
    assert "  NOT PROVEN     the receipt is signed in the name of urn:customs:af:customs; by whom is not proven" in half.stdout
    spoiled = (place / "post.json").read_bytes().replace(b'"environment":"test"', b'"environment":"best"')
    (place / "spoiled.json").write_bytes(spoiled)
    told = verify(place, file="spoiled.json")
    assert told.exit_code == 1
    assert "  DOES NOT HOLD  this account: " in told.stdout


def test_programs_get_one_document(place: Path) -> None:
    told = json.loads(verify(place, "--json").stdout)
    assert (told["holds"], told["exporter"], told["as_of"]) == (True, POST.urn, "2026-11-24T18:00:00.000Z")
    assert [each["country"] for each in told["trusted"]] == ["tj", "af"]
    assert {each["state"] for each in told["findings"]} == {"proven"}


def test_a_newer_crl_is_taken_from_a_file(place: Path) -> None:
    (place / "newer.crl").write_bytes(revoking(TJ, 15, POST_PAIR, NOW).der)
    told = verify(place, "--crl", str(place / "newer.crl"))
    assert told.exit_code == 1
    assert "revoked since 2026-11-24T12:00:00Z" in told.stdout


@pytest.mark.parametrize(
    ("name", "content"),
    [("text", b"hello"), ("empty", b""), ("pretty", b"{ }\n"), ("binary", bytes(range(256)))],
)
def test_what_is_no_evidence_file_is_told_so(place: Path, name: str, content: bytes) -> None:
    (place / name).write_bytes(content)
    error = verify(place, file=name).exception
    assert isinstance(error, UsageError)
    assert error.exit_code == 2


def test_wrong_arguments_are_told(place: Path) -> None:
    for words, code in (
        (["--crl", str(place / "tj.pem")], "crl-invalid"),
        (["--crl", str(place / "nothing")], "file-unreadable"),
        (["--at", "yesterday"], "instant-invalid"),
        (["--trust", str(place / "nothing.pem")], "file-unreadable"),
        (["--trust", str(place / "tj.pem")], "trust-country-missing"),
    ):
        error = verify(place, *words).exception
        assert isinstance(error, PanjError)
        assert (error.code, error.exit_code) == (code, 2)
    assert CliRunner().invoke(commands, ["verify", str(place / "post.json")]).exit_code == 2
    missing = verify(place, file="nothing.json").exception
    assert isinstance(missing, SettingsError)


def test_an_authority_s_country_is_said_or_read_from_its_own_name(tmp_path: Path) -> None:
    from deploy.lab.administrations import TAJIK, Administration  # noqa: PLC0415 - makes keys, for this test only

    pilot = Administration(TAJIK, tmp_path / "tj").authority.anchor
    assert PinnedAnchor.read(pilot).country == "tj"
    assert PinnedAnchor.read(pilot, "af").country == "af"
    (tmp_path / "leaf.pem").write_bytes(leaf(TJ).pem)
    with pytest.raises(SettingsError, match="anchor-no-authority"):
        PinnedAnchor.read(tmp_path / "leaf.pem", "tj")
    (tmp_path / "two.pem").write_bytes(root().pem + make("x", ca=True).pem)
    with pytest.raises(SettingsError, match="anchor-count"):
        PinnedAnchor.read(tmp_path / "two.pem", "tj")
