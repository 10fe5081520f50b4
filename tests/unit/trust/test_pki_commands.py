"""`panj pki` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.trust.commands import commands
from broker.trust.keys import Identity
from schemas.errors import PanjError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def panj_pki(*arguments: str) -> str:
    result = CliRunner().invoke(commands, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refusal(*arguments: str) -> str:
    with pytest.raises(PanjError) as caught:
        CliRunner().invoke(commands, list(arguments), catch_exceptions=False)
    return caught.value.code


def test_an_administration_is_set_up_with_its_posts_its_broker_and_a_partners_link(here: Path) -> None:
    panj_pki("init", "tj")
    panj_pki("init", "af", "--pki", "theirs")
    panj_pki("issue", "--unit", "customs")
    panj_pki("issue", "--server", "tj-broker", "--san", "localhost", "--san", "127.0.0.1")
    panj_pki("request", "--unit", "ishkoshim", "--country", "tj", "--pki", "post")
    panj_pki("issue", "post/tj-ishkoshim.csr", "--unit", "ishkoshim", "--out", "post/tj-ishkoshim.pem", "--days", "30")
    panj_pki("request", "--link", "af")
    panj_pki("issue", "pki/link-to-af.csr", "--link", "tj", "--pki", "theirs", "--out", "pki/link-to-af.pem")
    assert Identity.load(here / "post/tj-ishkoshim.key", here / "post/tj-ishkoshim.pem").urn == "urn:customs:tj:ishkoshim"
    rows = json.loads(panj_pki("list", "--json"))
    assert {(row["name"], row["kind"], row["state"]) for row in rows} == {
        ("tj-customs", "unit", "valid"),
        ("tj-broker", "server", "valid"),
        ("tj-ishkoshim", "unit", "valid"),
    }
    assert rows[0]["name"] == "tj-ishkoshim"  # the first to expire
    assert [row["name"] for row in json.loads(panj_pki("list", "--json", "--pki", "theirs"))] == ["link-tj"]
    assert "tj-ishkoshim" in panj_pki("list")


def test_a_unit_is_renewed_and_revoked_by_name_or_serial(here: Path) -> None:
    panj_pki("init", "tj")
    panj_pki("issue", "--unit", "panji-poyon")
    panj_pki("renew", "panji-poyon")
    assert refusal("revoke", "panji-poyon") == "pki-arguments"  # two certificates have the name
    first = json.loads(panj_pki("list", "--json"))[0]["serial"]
    panj_pki("revoke", first[:12])
    panj_pki("revoke", "tj-panji-poyon")
    assert {row["state"] for row in json.loads(panj_pki("list", "--json"))} == {"revoked"}
    assert refusal("revoke", "panji-poyon") == "serial-unknown"
    assert "number 4" in panj_pki("crl")


def test_wrong_arguments_get_a_coded_answer(here: Path) -> None:
    assert refusal("list") == "authority-missing"
    panj_pki("init", "tj")
    assert refusal("init", "tj") == "authority-exists"
    assert refusal("init", "Tajikistan", "--pki", "other") == "party-invalid"
    assert refusal("issue") == "pki-arguments"
    assert refusal("issue", "--unit", "a", "--link", "af") == "pki-arguments"
    assert refusal("issue", "--link", "af") == "pki-arguments"
    assert refusal("issue", "missing.csr", "--unit", "a") == "file-unreadable"
    assert refusal("issue", "--unit", "Panji Poyon") == "party-invalid"
    assert refusal("issue", "--unit", "a", "--days", "0") == "days-invalid"
    assert not (here / "pki/tj-a.key").exists()
    assert refusal("issue", "--server", "b") == "host-invalid"
    assert refusal("request") == "pki-arguments"
    assert refusal("request", "--link", "Afghanistan") == "party-invalid"
    assert refusal("renew", "a") == "file-unreadable"
    assert refusal("revoke", "a") == "serial-unknown"
