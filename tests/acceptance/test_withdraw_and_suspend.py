"""People who take back and hold back, over two federated brokers, on both databases: nothing is lost, and each event has one fate."""

from __future__ import annotations

from typing import Any

from schemas import examples
from schemas.names import EventType
from tests.acceptance.world import World, wait_for

EXPORT = EventType.EXPORT_DECLARATION


def export(number: str) -> tuple[str, dict[str, Any]]:
    return EXPORT, examples.export("tj", "PNJ", number)


def accepted(world: World) -> bool:
    return not list(world.lab.tj.watch("panji-poyon").glob("*.json"))


def fate_at_the_house(world: World, number: str) -> list[tuple[Any, ...]]:
    query = "SELECT fate FROM inbox WHERE reference = :reference ORDER BY version"
    return world.rows(world.lab.af, query, reference=f"TJ/PNJ/2026/{number}")


def suspend(world: World, side: Any, *words: str) -> str:
    said = world.panj(side, "suspend", *words, "--reason", "acceptance", "--json")
    assert said.code == 0, said.err
    return str(said.document["id"])


def end(world: World, side: Any, name: str) -> None:
    said = world.panj(side, "suspend", "end", name, "--reason", "over")
    assert said.code == 0, said.err


def withdraw(world: World, number: str, *words: str) -> Any:
    return world.panj(world.lab.tj, "post", "withdraw", f"TJ/PNJ/2026/{number}", "--post", "panji-poyon", "--reason", "wrong truck", *words)


def test_suspended_outflow_waits_and_leaves_at_the_end_and_what_was_withdrawn_meanwhile_never_does(world: World) -> None:
    log = world.lab.daemons["tj-panji-poyon"].log
    wait_for("the post runs", lambda: "relay.started" in log.read_text())
    seen = log.read_text().count("outflow.suspended")
    name = suspend(world, world.lab.tj, "--direction", "outflow", "--partner", "af", "--post", "panji-poyon")
    wait_for("the relay has seen it", lambda: log.read_text().count("outflow.suspended") > seen)  # within two seconds
    world.drop(world.lab.tj, "panji-poyon", [export("OUT-1"), export("OUT-2"), export("OUT-3")])
    wait_for("the post has taken the files", lambda: accepted(world))
    (listed,) = world.panj(world.lab.tj, "suspend", "list", "--json").document
    assert (listed["id"], listed["events"]) == (name, 3)
    said = withdraw(world, "OUT-2", "--wait", "--json")  # control events pass
    assert said.code == 0, said.err
    assert said.document["events"][0]["fate"] == "REFUSED"
    assert fate_at_the_house(world, "OUT-2") == [("REFUSED",)]
    assert fate_at_the_house(world, "OUT-1") == []
    status = world.panj(world.lab.tj, "post", "status", "--post", "panji-poyon", "--json").document["readings"]
    assert any(reading["name"] == "suspended outflow" and reading["value"] == 2 for reading in status)
    end(world, world.lab.tj, name)
    world.wait_quiet()
    assert [fate_at_the_house(world, number) for number in ("OUT-1", "OUT-2", "OUT-3")] == [[("LOADED",)], [("REFUSED",)], [("LOADED",)]]
    assert world.tallies()[0].balanced


def test_suspended_intake_is_held_told_and_decided_by_itself_at_the_end(world: World) -> None:
    name = suspend(world, world.lab.af, "--direction", "intake", "--partner", "tj", "--post", "panji-poyon")
    world.drop(world.lab.tj, "panji-poyon", [export("IN-1"), export("IN-2")])
    world.drop(world.lab.tj, "ishkoshim", [(EXPORT, examples.export("tj", "ISK", "IN-9"))])
    wait_for("what comes is held", lambda: fate_at_the_house(world, "IN-1") == fate_at_the_house(world, "IN-2") == [("HELD",)])
    query = "SELECT fate FROM inbox WHERE reference = 'TJ/ISK/2026/IN-9'"
    wait_for("the other post's is loaded", lambda: world.rows(world.lab.af, query) == [("LOADED",)])
    wait_for("the sender knows", lambda: "suspended" in world.panj(world.lab.tj, "trace", "TJ/PNJ/2026/IN-1").out)
    assert world.panj(world.lab.af, "held", "list", "--json").document["held"] == []
    said = withdraw(world, "IN-2", "--wait", "--json")
    assert (said.code, said.document["events"][0]["stood"]) == (0, "answered HELD")
    end(world, world.lab.af, name)
    wait_for("it is loaded by itself", lambda: fate_at_the_house(world, "IN-1") == [("LOADED",)])
    world.wait_quiet()
    assert fate_at_the_house(world, "IN-2") == [("REFUSED",)]
    assert world.tallies()[0].balanced


def test_a_withdrawal_of_what_is_loaded_comes_too_late_and_a_cancellation_corrects_it(world: World) -> None:
    original = examples.export("tj", "PNJ", "LATE-1")
    world.drop(world.lab.tj, "panji-poyon", [(EXPORT, original)])
    world.wait_quiet()
    said = withdraw(world, "LATE-1")
    assert said.code == 1
    assert "withdraw-settled" in said.err
    assert "cancellation" in said.err
    world.drop(world.lab.tj, "panji-poyon", [(EXPORT, examples.cancellation(original, 2))])
    world.wait_quiet()
    query = "SELECT version, status FROM current_declaration WHERE registration_number = 'LATE-1'"
    assert world.rows(world.lab.af, query) == [(2, "cancelled")]


def test_withdrawn_during_a_cut_line_it_is_never_loaded_and_the_same_file_again_is_rejected(world: World) -> None:
    world.lab.cut()
    try:
        world.drop(world.lab.tj, "panji-poyon", [export("CUT-1")])
        wait_for("the post has taken the file", lambda: accepted(world))
        assert withdraw(world, "CUT-1").code == 0
        assert withdraw(world, "CUT-1", "--wait", "--timeout", "1").code == 3
        (again,) = world.drop(world.lab.tj, "panji-poyon", [export("CUT-1")])
        shelf = world.lab.tj.watch("panji-poyon") / "rejected"
        wait_for("the file is rejected", lambda: any(shelf.glob(f"{again.removesuffix('.json')}*.reason.json")))
        (reason,) = shelf.glob(f"{again.removesuffix('.json')}*.reason.json")
        assert "version-withdrawn" in reason.read_text()
    finally:
        world.lab.mend()
    world.wait_quiet(90)
    ((fate,),) = fate_at_the_house(world, "CUT-1")
    life = world.panj(world.lab.tj, "trace", "TJ/PNJ/2026/CUT-1").out
    assert "withdrawn" in life
    # The event itself may have crossed before the tombstone, when the line was mended: then it was loaded, and the sender knows that.
    assert fate in ("REFUSED", "LOADED")
    assert f"settled: {fate.lower()}" in life
    assert world.tallies()[0].balanced
