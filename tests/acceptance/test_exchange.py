"""The main job, as people on both sides of the river see it: over two federated brokers, on both databases."""

from __future__ import annotations

import json
from collections import Counter

from deploy.demo.sabotage import tamper_with_waiting_bundle
from schemas import examples
from schemas.names import EventType
from tests.acceptance.told_back import CORRECTED, Way, three_ways
from tests.acceptance.world import World, wait_for
from tests.unit.formats.sads import sad

EXPORT = EventType.EXPORT_DECLARATION


def test_declarations_of_every_kind_cross_both_ways_and_each_is_loaded_once(world: World) -> None:
    before = world.tallies()
    for side in world.lab.sides:
        for seed, (post, office) in enumerate(side.plan.posts.items()):
            world.drop(side, post, examples.varied(side.plan.country, office, 40, seed))
    world.wait_quiet()
    for was, now in zip(before, world.tallies(), strict=True):
        assert now.accepted - was.accepted == 80
        assert now.loaded - was.loaded == 80
        assert now.balanced


def test_the_house_keeps_masses_and_money_exactly_as_they_were_said(world: World) -> None:
    data = examples.export("tj", "PNJ", "EXACT-1")
    data["items"][0] |= {"gross_mass_kg": "0.000001", "net_mass_kg": "0", "item_price": "12345678901234.5678"}
    world.drop(world.lab.tj, "panji-poyon", [(EXPORT, data)])
    world.wait_quiet()
    query = """SELECT i.gross_mass_kg, i.item_price FROM declaration_item i JOIN declaration d ON d.event_id = i.event_id
               WHERE d.registration_number = 'EXACT-1' AND i.number = 1"""
    ((mass, price),) = world.rows(world.lab.af, query)
    assert f"{mass:f}" if not isinstance(mass, str) else mass in ("0.000001",)
    assert str(price).rstrip("0") == "12345678901234.5678"


def test_a_file_sent_twice_is_taken_twice_and_loaded_once(world: World) -> None:
    data = examples.export("tj", "PNJ", "TWICE-1")
    first, second = world.drop(world.lab.tj, "panji-poyon", [(EXPORT, data), (EXPORT, data)])
    world.wait_quiet()
    taken = {path.name for path in (world.lab.tj.watch("panji-poyon") / "taken").rglob("*.json")}
    assert {first, second} <= taken
    ((count,),) = world.rows(world.lab.af, "SELECT count(*) FROM declaration WHERE registration_number = 'TWICE-1'")
    assert count == 1


def test_a_bad_file_is_rejected_with_its_reason_and_the_good_ones_beside_it_are_taken(world: World) -> None:
    watch = world.lab.tj.watch("ishkoshim")
    bad = examples.export("tj", "ISK", "BAD-1")
    bad["items"][1]["hs_code"] = "25AB"
    world.write(world.lab.tj, "ishkoshim", "bad.json", json.dumps({"type": EXPORT, "declaration": bad}).encode())
    world.write(world.lab.tj, "ishkoshim", "rubbish.json", b"\x00\xff{{{")
    (good,) = world.drop(world.lab.tj, "ishkoshim", [(EXPORT, examples.export("tj", "ISK", "GOOD-1"))])
    wait_for("the bad file is rejected", lambda: any((watch / "rejected").rglob("bad*.reason.json")))
    (reason,) = (watch / "rejected").rglob("bad*.reason.json")
    told = json.loads(reason.read_text())
    assert "items.1.hs_code" in json.dumps(told)
    assert "25AB" in json.dumps(told)
    world.wait_quiet()
    assert any((watch / "taken").rglob(good))
    wait_for("the rubbish is rejected", lambda: any((watch / "rejected").rglob("rubbish*.reason.json")))


def test_send_waits_for_the_receipt_and_tells_the_fate(world: World) -> None:
    declared = [examples.export("af", "SKB", "SEND-1"), examples.export("af", "SKB", "SEND-2")]
    place = world.lab.directory / "send"
    place.mkdir(exist_ok=True)
    files = []
    for number, data in enumerate(declared):
        files.append(place / f"{number}.json")
        files[-1].write_text(json.dumps({"type": EXPORT, "declaration": data}))
    said = world.panj(world.lab.af, "post", "send", *map(str, files), "--post", "sher-khan-bandar", "--wait", "--json")
    assert said.code == 0, said.err
    assert Counter(json.dumps(said.document).split('"'))["LOADED"] == 2


def test_one_number_used_by_two_posts_is_refused_by_the_house_and_the_sender_learns_why(world: World) -> None:
    first, second = world.lab.tj.plan.posts
    refused = world.tallies()[0].refused
    world.drop(world.lab.tj, first, [(EXPORT, examples.export("tj", "PNJ", "SAME-1"))])
    world.wait_quiet()
    other = examples.export("tj", "PNJ", "SAME-1") | {"exporter_name": "Somebody else"}
    world.drop(world.lab.tj, second, [(EXPORT, other)])
    world.wait_quiet()
    assert world.tallies()[0].refused == refused + 1
    told = world.panj(world.lab.tj, "trace", "TJ/PNJ/2026/SAME-1")
    assert told.code == 0
    assert "version-conflict" in told.out
    ((name,),) = world.rows(world.lab.af, "SELECT exporter_name FROM declaration WHERE registration_number = 'SAME-1'")
    assert name != "Somebody else"


def test_versions_and_a_cancellation_are_kept_and_the_highest_is_current(world: World) -> None:
    original = examples.export("af", "ESH", "VERSIONS-1")
    amended = examples.amendment(original, 2) | {"package_count": "77"}
    for data in (original, examples.cancellation(original, 3), amended):
        world.drop(world.lab.af, "eshkashim", [(EXPORT, data)])
        world.wait_quiet()
    versions = world.rows(world.lab.tj, "SELECT version FROM declaration WHERE registration_number = 'VERSIONS-1' ORDER BY version")
    assert versions == [(1,), (2,), (3,)]
    query = "SELECT version, status FROM current_declaration WHERE registration_number = 'VERSIONS-1'"
    ((version, status),) = world.rows(world.lab.tj, query)
    assert (version, status) == (3, "cancelled")


def test_imports_go_to_the_own_house_and_never_over_the_frontier(world: World) -> None:
    abroad = world.rows(world.lab.af, "SELECT count(*) FROM inbox WHERE type = 'customs.import-declaration.v1'")
    world.drop(world.lab.tj, "panji-poyon", [(EventType.IMPORT_DECLARATION, examples.imported("tj", "PNJ", "IMPORT-1"))])
    query = "SELECT kind FROM declaration WHERE registration_number = 'IMPORT-1'"
    wait_for("the own house loads it", lambda: world.rows(world.lab.tj, query) == [("import",)])
    world.wait_quiet()
    assert world.rows(world.lab.af, "SELECT count(*) FROM inbox WHERE type = 'customs.import-declaration.v1'") == abroad


def test_a_bundle_changed_on_its_way_is_parked_and_its_events_are_loaded_after_the_resend(world: World) -> None:
    lab = world.lab
    assert lab.daemons["af-customs"].terminate(10) == 0
    data = examples.export("tj", "PNJ", "TAMPER-1") | {"exporter_name": "Honest exporter"}
    world.drop(lab.tj, "panji-poyon", [(EXPORT, data)])
    assert tamper_with_waiting_bundle(lab.af.settings, "tj", "af-customs.record", b"Honest exporter", b"Another exporte")
    lab.spawn_house(lab.af)
    world.wait_quiet()
    ((name,),) = world.rows(lab.af, "SELECT exporter_name FROM declaration WHERE registration_number = 'TAMPER-1'")
    assert name == "Honest exporter"
    there = world.tallies()[0]
    assert there.parked >= 1
    assert there.parked_open == 0


def test_a_cut_line_is_caught_up_after_it_is_mended(world: World) -> None:
    lab = world.lab
    lab.cut()
    world.drop(lab.tj, "panji-poyon", examples.varied("tj", "PNJ", 60, 900))
    wait_for("the post accepts during the cut", lambda: not list(lab.tj.watch("panji-poyon").glob("*.json")))
    assert world.tallies()[0].waiting >= 60
    lab.mend()
    world.wait_quiet()
    assert world.tallies()[0].balanced


def test_status_shows_the_state_of_this_side_and_trace_a_declaration_s_life(world: World) -> None:
    world.drop(world.lab.tj, "panji-poyon", [(EXPORT, examples.export("tj", "PNJ", "TRACE-1"))])
    world.wait_quiet()
    status = world.panj(world.lab.tj, "status", "--json")
    names = {(reading["subject"], reading["name"]) for reading in status.document["readings"]}
    assert ("tj-customs", "loaded") in names
    assert any("beacon" in name for _, name in names)
    assert any("certificate" in name for _, name in names)
    sender = [step["what"] for step in world.panj(world.lab.tj, "trace", "TJ/PNJ/2026/TRACE-1", "--json").document]
    assert sender[0] == "accepted"
    assert "loaded" in sender[-1]
    receiver = [step["what"] for step in world.panj(world.lab.af, "trace", "TRACE-1", "--json").document]
    assert receiver == ["received", "loaded"]
    assert world.panj(world.lab.tj, "trace", "TJ/PNJ/2026/NEVER").code == 1


def test_a_sad_in_a_post_s_directory_is_loaded_over_there_and_its_fate_told_back_in_each_way(world: World) -> None:
    before = sum(each.loaded for each in world.tallies())
    with three_ways(world) as ways:
        for place, way in enumerate(ways):  # what another post has sent under the number first, the house does not take again
            world.write(way.side, way.other, f"first-{place}.xml", _sad(f"9{place}1"))
        wait_for("these are loaded", lambda: sum(each.loaded for each in world.tallies()) == before + len(ways))
        for place, way in enumerate(ways):
            world.write(way.side, way.post, f"good-{place}.xml", _sad(f"9{place}0"))
            world.write(way.side, way.post, f"late-{place}.xml", _sad(f"9{place}1", weight="777"))
        for place, way in enumerate(ways):
            wait_for("the first fates are told", lambda way=way, place=place: _ends(way, f"9{place}0", f"9{place}1"))  # type: ignore[misc]
            world.write(way.side, way.post, f"again-{place}.xml", _sad(f"9{place}0", weight="778"))
        for place, way in enumerate(ways):
            amended = f"E9{place}0"
            wait_for("the amendment is loaded", lambda way=way, amended=amended: way.fates(amended)[-1] == (2, "loaded"))  # type: ignore[misc]
            assert [fate for fate in way.fates(amended) if fate[1] in ("accepted", "loaded")] == [
                *((1, "accepted"), (1, "loaded")),
                *((2, "accepted"), (2, "loaded")),
            ]
            assert way.fates(f"E9{place}1")[0] == (1, "accepted")
            assert way.codes(f"E9{place}1") == ["version-conflict"]
            assert _versions(world, way, amended) == [(1, None), (2, CORRECTED)]


def _sad(number: str, weight: str = "21500.50") -> bytes:
    return sad(Identification__Registration__Number=number, Valuation__Total__Total_weight=weight).encode()


def _versions(world: World, way: Way, number: str) -> list[tuple[object, ...]]:
    query = "SELECT version, correction_reason FROM declaration WHERE registration_number = :number ORDER BY version"
    return world.rows(way.house, query, number=number)


def _ends(way: Way, loaded: str, refused: str) -> bool:
    return way.fates(f"E{loaded}")[-1:] == [(1, "loaded")] and way.fates(f"E{refused}")[-1:] == [(1, "refused")]
