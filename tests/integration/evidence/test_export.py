"""Evidence from both banks of the river, on both databases: exported by each side, verified by anybody."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from typer.testing import Result

from broker.audit import entries
from consumers import tables as house_tables
from schemas.errors import PanjError
from tests.integration.consumers.frontier import declaration
from tests.integration.evidence.river import HOUSE, POST, River

SIDES = {"post": POST.urn, "house": HOUSE.urn}


def document(result: Result) -> Any:
    """The JSON document that a command printed, behind what a log that nobody configured printed."""
    return json.loads(result.stdout[result.stdout.index("{\n") :])


def found(result: Result, what: str) -> list[dict[str, Any]]:
    return [finding for finding in document(result)["findings"] if finding["what"] == what]


def test_what_crossed_is_exported_on_both_sides_and_both_verify(river: River) -> None:
    river.cross(declaration(1), declaration(2), declaration(3))
    for side, name, exporter in ((river.tj, "post.json", POST.urn), (river.af, "house.json", HOUSE.urn)):
        written = river.export(side, "TJ/TJPNJ/2026/2", name)
        assert written.exit_code == 0, written.output
        told = document(written)
        assert (told["exporter"], told["events"][0]["receipt"], len(told["events"])) == (exporter, True, 1)
        assert (river.directory / name).stat().st_mode & 0o777 == 0o600
        verified = river.verify(name)
        assert verified.exit_code == 0, verified.stdout
        whole = document(verified)
        assert whole["holds"]
        assert [event["reference"] for event in whole["events"]] == ["TJ/TJPNJ/2026/2"]
        (receipt,) = found(verified, "receipt")
        assert receipt["text"].startswith(f"{HOUSE.urn} answered LOADED for exactly this event")
    assert found(river.verify("house.json"), "coming")[0]["text"].endswith("CRL 1 of CN=Panj pilot authority tj,C=TJ")
    half = river.verify("post.json", both=False)
    assert half.exit_code == 1
    assert found(half, "signature")[0]["state"] == "proven"
    assert "no authority of af was given" in found(half, "receipt signature")[0]["text"]


def test_all_versions_are_in_one_file_and_one_can_be_chosen(river: River) -> None:
    river.cross(declaration(7))
    river.cross(declaration(7, 2))
    for side, name in ((river.tj, "post"), (river.af, "house")):
        assert river.export(side, "7", f"{name}-all").exit_code == 0  # by its registration number alone
        assert [event["version"] for event in document(river.verify(f"{name}-all"))["events"]] == [1, 2]
        assert river.export(side, "7", f"{name}-2", "--version", "2").exit_code == 0
        assert [event["version"] for event in document(river.verify(f"{name}-2"))["events"]] == [2]
        assert river.export(side, "7", f"{name}-3", "--version", "3").exit_code == 1
        assert not (river.directory / f"{name}-3").exists()
        assert river.export(side, "never", f"{name}-never").exit_code == 1


def test_before_the_answer_the_file_claims_none_and_holds(river: River) -> None:
    rows = river.accept(declaration(4))
    assert river.export(river.tj, "4", "early.json").exit_code == 0
    early = river.verify("early.json")
    assert early.exit_code == 0
    assert found(early, "receipt")[0]["state"] == "not claimed"
    river.bring_home(river.carry(rows))
    assert river.export(river.tj, "4", "late.json").exit_code == 0
    assert found(river.verify("late.json"), "receipt")[0]["state"] == "proven"


def test_a_refusal_is_proven_with_its_reasons(river: River) -> None:
    river.cross(declaration(5, invoice_currency="XXZ"))
    for side, name in ((river.tj, "post.json"), (river.af, "house.json")):
        assert river.export(side, "TJ/TJPNJ/2026/5", name).exit_code == 0
        verified = river.verify(name)
        assert verified.exit_code == 0, verified.stdout
        (receipt,) = found(verified, "receipt")
        assert "answered REFUSED for exactly this event (invoice_currency: " in receipt["text"]


def test_the_closing_that_covers_it_is_in_both_sides_files(river: River) -> None:
    river.cross(declaration(1), declaration(2), declaration(3))
    river.close_account()
    river.cross(declaration(4))
    closings = []
    for side, name in ((river.tj, "post.json"), (river.af, "house.json")):
        assert river.export(side, "2", name).exit_code == 0
        verified = river.verify(name)
        assert verified.exit_code == 0, verified.stdout
        assert found(verified, "closing")[0]["text"] == f"closing 1, signed by {POST.urn} and {HOUSE.urn}, covers exactly this event"
        closings.append(json.loads((river.directory / name).read_text())["account"]["events"][0]["closing"])
        assert [line["sequence"] for line in closings[-1]["lines"]] == [1, 2, 3]
        assert river.export(side, "4", f"4-{name}").exit_code == 0  # came after it
        assert found(river.verify(f"4-{name}"), "closing")[0]["state"] == "not claimed"
    post, house = closings
    assert (post["manifest"]["raw"], post["answer"]["raw"], post["lines"]) == (
        house["manifest"]["raw"],
        house["answer"]["raw"],
        house["lines"],
    )


def test_after_a_revocation_it_is_told_what_still_stands(river: River) -> None:
    river.cross(declaration(1))
    river.export(river.af, "1", "before.json")
    river.export(river.tj, "1", "of-the-post.json")
    assert river.verify("before.json").exit_code == 0
    river.ahead = timedelta(hours=1)
    river.revoke(river.clock())
    newest = str(river.tj.authority.crl)
    told = river.verify("before.json", "--crl", newest)
    assert told.exit_code == 0  # the house had it before
    assert "that it was there before" in found(told, "revocation")[0]["text"]
    river.export(river.af, "1", "after.json")  # the new CRL is in the file by itself
    assert "is revoked since" in found(river.verify("after.json"), "revocation")[0]["text"]
    ours = river.verify("of-the-post.json", "--crl", newest)
    assert ours.exit_code == 1  # nobody else saw the seal: the post exports again with its new key
    doubted = [(each["what"], each["event_id"]) for each in document(ours)["findings"] if each["state"] == "not proven"]
    assert doubted == [("revocation", None)]
    assert found(ours, "receipt")[0]["state"] == "proven"


def test_an_event_that_was_withdrawn_is_proven_with_its_tombstone(river: River) -> None:
    river.accept(declaration(1))
    river.withdraw("TJ/TJPNJ/2026/1")
    for side, name, withdrawn_only in ((river.tj, "post.json", False), (river.af, "house.json", True)):
        assert river.export(side, "TJ/TJPNJ/2026/1", name).exit_code == 0
        verified = river.verify(name)
        assert verified.exit_code == 0, verified.stdout
        assert f"{POST.urn} took exactly this event back: typed twice" in found(verified, "withdrawal")[0]["text"]
        assert "answered REFUSED for exactly this event" in found(verified, "receipt")[0]["text"]
        assert bool(found(verified, "event")) == withdrawn_only


def test_an_encrypted_declaration_is_proven_as_it_reads_by_the_house_that_has_its_key(tmp_path: Path) -> None:
    river = River(tmp_path, f"sqlite:///{tmp_path}/outbox.sqlite", f"sqlite:///{tmp_path}/house.sqlite", encrypted=True)
    river.cross(declaration(1), declaration(2, invoice_currency="XXZ"))
    for reference, fate in (("TJ/TJPNJ/2026/1", "LOADED"), ("TJ/TJPNJ/2026/2", "REFUSED")):
        (row,) = river.outbox.kept(reference)
        number = row.event_id  # what was refused has told the house no reference
        for side, name in ((river.tj, f"post-{fate}.json"), (river.af, f"house-{fate}.json")):
            assert river.export(side, number, name).exit_code == 0
            verified = river.verify(name)
            assert verified.exit_code == 0, verified.stdout
            assert f"answered {fate} for exactly this event" in found(verified, "receipt")[0]["text"]
    assert found(river.verify("post-LOADED.json"), "plaintext")[0]["state"] == "not claimed"
    assert found(river.verify("house-LOADED.json"), "plaintext")[0]["state"] == "proven"
    entry = json.loads((tmp_path / "house-LOADED.json").read_text())["account"]["events"][0]
    assert b"Bodom Export" in base64.b64decode(entry["plaintext"])
    assert b"Bodom Export" not in base64.b64decode(entry["event"]["raw"])
    (refusal,) = found(river.verify("house-REFUSED.json"), "receipt")
    assert "invoice_currency" in refusal["text"]  # the plaintext brings the key to the house's reasons
    river.close()


def test_every_export_stands_in_the_audit_trail_and_nothing_is_overwritten(river: River) -> None:
    river.cross(declaration(1))
    for side, name in ((river.tj, "post.json"), (river.af, "house.json")):
        assert river.export(side, "1", name, "--dry-run").exit_code == 0
        assert not (river.directory / name).exists()
        assert river.export(side, "1", name, "--reason", "court of Dushanbe, case 5").exit_code == 0
        again = river.export(side, "1", name)
        assert isinstance(again.exception, PanjError)
        assert again.exception.code == "evidence-exists"
    with river.engine.connect() as connection:
        (noted,) = entries(connection, house_tables.audit)
        (event_id,) = connection.execute(select(house_tables.inbox.c.event_id)).scalars()
    assert (noted.action, noted.subject, noted.reason) == ("evidence.exported", "1", "court of Dushanbe, case 5")
    assert json.loads(noted.detail)["events"] == [event_id]


def test_where_a_post_and_the_house_both_know_it_one_must_be_named(river: River) -> None:
    river.cross(declaration(1))
    text = river.tj.config.read_text()
    house = str(river.engine.url.render_as_string(hide_password=False))
    if house.startswith("sqlite"):
        river.tj.config.write_text(text.replace(f"sqlite:///{river.directory}/tj-house.sqlite", house))
        twice = river.export(river.tj, "1", "x.json")
        assert isinstance(twice.exception, PanjError)
        assert twice.exception.code == "unit-ambiguous"
        assert river.export(river.tj, "1", "x.json", "--unit", "panji-poyon").exit_code == 0
