"""`panj pki` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from broker.trust.commands import commands
from broker.trust.keys import Identity, read_certificates
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


def test_a_pair_whose_key_lies_elsewhere_is_renewed_by_request_and_install(here: Path) -> None:
    panj_pki("init", "tj")
    for renew in ((), ("--renew",), ("--renew",)):
        panj_pki("request", "--unit", "ishkoshim", "--country", "tj", "--pki", "post", *renew)
        panj_pki("issue", "post/tj-ishkoshim.csr", "--unit", "ishkoshim", "--out", "answer.pem")
        if renew:
            before = Identity.load(here / "post/tj-ishkoshim.key", here / "post/tj-ishkoshim.pem").fingerprint
        panj_pki("install", "answer.pem", "--unit", "ishkoshim", "--country", "tj", "--pki", "post")
        after = Identity.load(here / "post/tj-ishkoshim.key", here / "post/tj-ishkoshim.pem").fingerprint
        if renew:
            assert after != before
    assert not list((here / "post").glob("*.new"))
    panj_pki("issue", "--unit", "customs")
    assert refusal("install", "pki/tj-customs.pem", "--unit", "ishkoshim", "--country", "tj", "--pki", "post") == "key-mismatch"


def test_asked_twice_for_a_renewal_either_answer_fits(here: Path) -> None:
    panj_pki("init", "tj")
    panj_pki("init", "af", "--pki", "theirs")
    panj_pki("request", "--link", "af")
    panj_pki("issue", "pki/link-to-af.csr", "--link", "tj", "--pki", "theirs", "--out", "pki/link-to-af.pem")
    for answer in ("first.pem", "second.pem"):
        panj_pki("request", "--link", "af", "--renew")
        panj_pki("issue", "pki/link-to-af.csr", "--link", "tj", "--pki", "theirs", "--out", answer)
    panj_pki("install", "first.pem", "--link", "af")
    panj_pki("install", "second.pem", "--link", "af")
    assert (here / "pki/link-to-af.pem").read_bytes() == (here / "second.pem").read_bytes()


def test_the_brokers_certificate_is_renewed_for_the_same_hosts(here: Path) -> None:
    panj_pki("init", "tj")
    panj_pki("issue", "--server", "broker", "--san", "localhost", "--san", "127.0.0.1")
    before = read_certificates(here / "pki/broker.pem")[0]
    panj_pki("renew", "--server", "broker")
    after = read_certificates(here / "pki/broker.pem")[0]
    kind = x509.SubjectAlternativeName
    assert after.extensions.get_extension_for_class(kind).value == before.extensions.get_extension_for_class(kind).value
    assert after.public_key() != before.public_key()


def test_a_link_gets_another_name_only_with_another_key(here: Path) -> None:
    panj_pki("init", "tj")
    panj_pki("init", "af", "--pki", "theirs")
    panj_pki("request", "--link", "tj", "--pki", "theirs")
    panj_pki("issue", "theirs/link-to-tj.csr", "--link", "af", "--out", "answer.pem")
    assert refusal("issue", "theirs/link-to-tj.csr", "--link", "af", "--name", "link-af-2") == "key-shared"
    panj_pki("request", "--link", "tj", "--pki", "theirs", "--renew")
    panj_pki("issue", "theirs/link-to-tj.csr", "--link", "af", "--name", "link-af-2")
    assert {row["name"] for row in json.loads(panj_pki("list", "--json"))} == {"link-af", "link-af-2"}
    for name in ("link-uz-2", "af", "link-af-", "LINK-AF"):
        assert refusal("issue", "theirs/link-to-tj.csr", "--link", "af", "--name", name) == "partner-invalid"
    assert refusal("issue", "--unit", "customs", "--name", "link-af-2") == "pki-arguments"


def test_with_exchange_toml_the_crl_lies_where_it_crosses_from(here: Path) -> None:
    panj_pki("init", "tj")
    panj_pki("issue", "--unit", "panji-poyon")
    example = Path(__file__).parents[3] / "deploy" / "exchange.example.toml"
    (here / "exchange.toml").write_text(example.read_text())
    assert "would revoke tj-panji-poyon" in panj_pki("revoke", "panji-poyon", "--dry-run")
    assert "number 2) lies at" in panj_pki("revoke", "panji-poyon", "--config", "exchange.toml")
    crossing = here / "trust/tj/crls/tj.crl"
    assert crossing.read_bytes() == (here / "pki/crls/tj.crl").read_bytes()
    panj_pki("crl", "--config", "exchange.toml")
    assert crossing.read_bytes() == (here / "pki/crls/tj.crl").read_bytes()
    panj_pki("init", "uz", "--pki", "other")
    assert refusal("crl", "--pki", "other", "--config", "exchange.toml") == "party-foreign"


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
