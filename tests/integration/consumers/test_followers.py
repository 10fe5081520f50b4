"""Followers: what the house has loaded is carried on once each, whatever order the loads were committed in and whatever dies in between."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import Engine, select, text

from broker.settings.followers import AnyFollower, AsycudaFiles, MappedTables
from consumers import migrations
from consumers.context import Batch, Context
from consumers.database import open_engine
from consumers.loaders.asycuda_files.documents import file_name
from consumers.loaders.asycuda_files.kind import AsycudaFolder
from consumers.loaders.following import ledger
from consumers.loaders.following.tables import follow_mark, followed
from consumers.loaders.following.values import Done, Hindrance, Outcome, Todo
from consumers.loaders.following.worker import FollowerWorker
from consumers.loaders.record import load_record
from consumers.pipeline import Pipeline
from consumers.registry import Consumer
from consumers.retrying import try_again
from schemas.errors import SettingsError
from schemas.event import new_epoch
from tests.integration.consumers.conftest import Hands, PipelineOf
from tests.integration.consumers.frontier import CROSSING, EXPORT, TRANSIT, Frontier, cancellation, crossing, declaration

EVER = timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "import"
    made.mkdir()
    return made


def asycuda(folder: Path, **changes: Any) -> AsycudaFiles:
    values = {"kind": "asycuda-files", "name": "asycuda", "types": [EXPORT, TRANSIT], "purpose": "customs-control"}
    return AsycudaFiles.model_validate({**values, "folder": folder, "office": "SHE01", **changes})


def worker_of(settings: AnyFollower, engine: Engine, clock: Hands | None = None) -> FollowerWorker:
    made = FollowerWorker(settings, engine, threading.Event(), clock=clock or Hands())
    with engine.begin() as connection:
        ledger.begin(connection, settings.name, made.clock())
    return made


def outcomes(done: Sequence[Done]) -> list[str]:
    return sorted(one.outcome.value for one in done)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def marks(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return sorted(connection.execute(select(follow_mark.c.done_to)).scalars())


def sad(folder: Path, name: str, path: str) -> list[str | None]:
    return [(each.text or "").strip() or None for each in etree.parse(folder / name).getroot().findall(path)]


# -- Nothing missed, nothing repeated


def test_a_load_that_began_early_and_commits_late_is_not_missed(
    postgres_url: str, frontier: Frontier, record: Consumer, folder: Path
) -> None:
    engine = open_engine(postgres_url)
    migrations.make_ready(engine)
    waits, may_commit = threading.Event(), threading.Event()

    def slow(batch: Batch, context: Context) -> None:
        load_record(batch, context)
        waits.set()
        assert may_commit.wait(30)

    post = frontier.new_post("panji-poyon")
    first, second = (post.event(declaration(f"L{number}")) for number in (1, 2))
    pipelines = [
        Pipeline(
            Consumer("record", record.types, 500, handler, __name__), engine, frontier.trust, frontier.expected, threading.Event(), Hands()
        )
        for handler in (slow, load_record)
    ]
    earlier = threading.Thread(target=lambda: pipelines[0].process(frontier.deliveries([first])))
    earlier.start()
    assert waits.wait(30)  # its rows are written, its transaction is open
    pipelines[1].process(frontier.deliveries([second]))
    worker = worker_of(asycuda(folder), engine)
    assert outcomes(worker.turn()) == ["written"]
    assert files(folder) == ["TJ+TJPNJ+2026+L2+v1.xml"]
    assert marks(engine) == [], "sequence 1 may still come: the mark must not pass it"
    may_commit.set()
    earlier.join(30)
    assert outcomes(worker.turn()) == ["written"]
    assert worker.turn() == []
    assert len(files(folder)) == 2
    assert marks(engine) == [2]
    engine.dispose()


def test_many_processes_load_while_two_daemons_follow_and_each_event_is_written_once(
    postgres_url: str, frontier: Frontier, record: Consumer, folder: Path
) -> None:
    engine = open_engine(postgres_url)
    migrations.make_ready(engine)
    post = frontier.new_post("panji-poyon")
    raws = [post.event(declaration(f"M{number}", items=1)) for number in range(120)]
    random.Random(5).shuffle(raws)
    written: list[Done] = []
    loading = threading.Event()
    loading.set()

    def load(part: Sequence[bytes]) -> None:
        own = open_engine(postgres_url)
        pipeline = Pipeline(record, own, frontier.trust, frontier.expected, threading.Event(), Hands())
        for start in range(0, len(part), 5):
            pipeline.process(frontier.deliveries(part[start : start + 5]))
        own.dispose()

    def follow() -> None:
        own = open_engine(postgres_url)
        worker = worker_of(asycuda(folder), own)
        while loading.is_set() or ledger_waits(worker):
            written.extend(worker.turn())
        own.dispose()

    loaders = [threading.Thread(target=load, args=(raws[place::4],)) for place in range(4)]
    followers = [threading.Thread(target=follow) for _ in range(2)]
    for thread in (*loaders, *followers):
        thread.start()
    for thread in loaders:
        thread.join(60)
    loading.clear()
    for thread in followers:
        thread.join(60)
    assert sorted(one.event_id for one in written) == sorted(json.loads(raw)["id"] for raw in raws)
    assert {one.outcome for one in written} == {Outcome.WRITTEN}
    assert len(files(folder)) == 120
    assert marks(engine) == [120]
    engine.dispose()


def ledger_waits(worker: FollowerWorker) -> bool:
    with worker.engine.connect() as connection:
        return ledger.something_waits(connection, worker.settings, worker.clock())


def test_holes_and_held_events_stop_the_mark_and_nothing_else(
    pipeline_of: PipelineOf, frontier: Frontier, engine: Engine, folder: Path, clock: Hands
) -> None:
    mended: list[bool] = []

    def load(batch: Batch, context: Context) -> None:
        for event in batch:
            if event.data.local_reference == "look" and not mended:
                context.hold(event, "rule", "somebody must look")
        load_record(batch, context)

    post, pipeline = frontier.new_post("panji-poyon"), pipeline_of(load)
    raws = [post.event(declaration(f"g{number}", local_reference="look" if number == 2 else "fine")) for number in range(1, 6)]
    pipeline.process(frontier.deliveries([raw for place, raw in enumerate(raws) if place != 3]))  # the fourth is on its way
    worker = worker_of(asycuda(folder), engine, clock)
    assert outcomes(worker.turn()) == ["written"] * 3
    assert marks(engine) == [1]
    mended.append(True)
    clock.ahead = EVER
    try_again(pipeline)
    assert outcomes(worker.turn()) == ["written"]
    assert marks(engine) == [3]
    pipeline.process(frontier.deliveries([raws[3]]))
    assert outcomes(worker.turn()) == ["written"]
    assert worker.turn() == []
    assert marks(engine) == [5]
    assert len(files(folder)) == 5


def test_what_was_released_for_another_purpose_or_came_too_early_is_left_alone(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, folder: Path
) -> None:
    post = frontier.new_post("panji-poyon")
    pipeline.process(frontier.deliveries([post.event(declaration("q1"), purpose="statistics"), post.event(declaration("q2"))]))
    assert worker_of(asycuda(folder, name="later", since=date(2099, 1, 1)), engine).turn() == []
    worker = worker_of(asycuda(folder), engine)
    assert outcomes(worker.turn()) == ["written"]
    assert worker.turn() == []
    assert marks(engine) == [2]
    assert len(files(folder)) == 1


# -- The import folder


def dying(base: type[AsycudaFolder]) -> type[AsycudaFolder]:
    class Dying(base):  # type: ignore[valid-type,misc]
        """A daemon that dies between the commit and the names."""

        def publish(self, done: Sequence[Done]) -> None:
            raise Hindrance("follow-folder", "killed here")

    return Dying


def test_after_a_crash_files_get_their_names_once(pipeline: Pipeline, frontier: Frontier, engine: Engine, folder: Path) -> None:
    pipeline.process(frontier.deliveries([frontier.post.event(declaration(f"C{number}")) for number in (1, 2)]))
    settings = asycuda(folder)
    worker = worker_of(settings, engine)
    worker._kind = dying(AsycudaFolder)(settings)
    with pytest.raises(Hindrance):
        worker.turn()
    assert [path.suffix for path in folder.iterdir()] == [".part", ".part"]
    assert worker_of(settings, engine).turn() == []  # the next one recovers, and has nothing else to do
    assert files(folder) == ["TJ+TJPNJ+2026+C1+v1.xml", "TJ+TJPNJ+2026+C2+v1.xml"]
    for path in folder.iterdir():
        path.unlink()  # ASYCUDA has taken them
    assert worker_of(settings, engine).turn() == []
    assert files(folder) == []


def test_what_died_before_its_commit_is_written_afresh(pipeline: Pipeline, frontier: Frontier, engine: Engine, folder: Path) -> None:
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("D1"))]))
    settings = asycuda(folder)
    with engine.connect() as connection:  # half written, never noted
        (row,) = ledger.next_rows(connection, settings, 10, Hands()())
    (folder / f".panj.asycuda.{row.event_id}.part").write_bytes(b"<ASYCUDA><half")
    assert outcomes(worker_of(settings, engine).turn()) == ["written"]
    assert sad(folder, "TJ+TJPNJ+2026+D1+v1.xml", "Property/Sad_flow") == ["I"]
    assert files(folder) == ["TJ+TJPNJ+2026+D1+v1.xml"]


def test_an_export_lies_there_as_a_pre_filled_import(pipeline: Pipeline, frontier: Frontier, engine: Engine, folder: Path) -> None:
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("E1", exit_office="PNJ01"))]))
    worker_of(asycuda(folder, offices={"PNJ01": "SHE02"}), engine).turn()
    name = "TJ+TJPNJ+2026+E1+v1.xml"
    assert sad(folder, name, "Identification/Office_segment/Customs_clearance_office_code") == ["SHE02"]
    assert sad(folder, name, "Identification/Type/Type_of_declaration") == ["IM"]
    assert sad(folder, name, "Identification/Registration/Number") == [None]
    assert sad(folder, name, "Item/Previous_doc/Previous_document_reference") == ["TJ/TJPNJ/2026/E1"] * 3
    assert sad(folder, name, "Traders/Exporter/Exporter_name") == ["Bodom Export"]


def test_versions_are_told_as_the_settings_say_and_late_ones_are_left_out(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, folder: Path
) -> None:
    post = frontier.post
    late = post.event(declaration("V1"))
    pipeline.process(
        frontier.deliveries([post.event(declaration("V1", 2)), post.event(declaration("V2")), post.event(cancellation("V3", 2))])
    )
    worker = worker_of(asycuda(folder), engine)
    assert outcomes(worker.turn()) == ["noted", "written", "written"]
    pipeline.process(frontier.deliveries([late, post.event(cancellation("V2", 2)), post.event(declaration("V1", 3))]))
    assert outcomes(worker.turn()) == ["noted", "superseded", "written"]
    stem = "TJ+TJPNJ+2026+"
    assert files(folder) == [f"{stem}V1+v2.xml", f"{stem}V1+v3.xml", f"{stem}V2+v1.xml", f"{stem}V2+v2.txt", f"{stem}V3+v2.txt"]
    assert "cancels version 1: not exported" in (folder / f"{stem}V2+v2.txt").read_text("utf-8")
    assert outcomes(worker_of(asycuda(folder, name="b", amendments="skip", cancellations="skip"), engine).turn()).count("skipped") == 3


def test_nothing_is_overwritten_and_one_bad_one_stops_nobody(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, folder: Path, clock: Hands
) -> None:
    foreign = folder / "TJ+TJPNJ+2026+O1+v1.xml"
    foreign.write_text("somebody else's")
    pipeline.process(frontier.deliveries([frontier.post.event(declaration(name)) for name in ("O1", "O2")]))
    worker = worker_of(asycuda(folder), engine, clock)
    assert outcomes(worker.turn()) == ["failed", "written"]
    assert worker.turn() == []  # not tried again at once
    assert foreign.read_text() == "somebody else's"
    with engine.connect() as connection:
        (failure,) = ledger.failures(connection, "asycuda", 10)
    assert (failure.reference, failure.code, failure.attempts) == ("TJ/TJPNJ/2026/O1", "follow-file-exists", 1)
    foreign.unlink()
    clock.ahead = EVER
    assert outcomes(worker.turn()) == ["written"]
    assert sad(folder, foreign.name, "Property/Sad_flow") == ["I"]


def test_the_same_version_under_another_id_is_known(pipeline: Pipeline, frontier: Frontier, engine: Engine, folder: Path) -> None:
    post = frontier.new_post("panji-poyon")
    pipeline.process(frontier.deliveries([post.event(declaration("K1"))]))
    worker = worker_of(asycuda(folder), engine)
    worker.turn()
    (folder / "TJ+TJPNJ+2026+K1+v1.xml").unlink()  # ASYCUDA has taken it
    post.epoch, post.sequences = new_epoch(), {}
    pipeline.process(frontier.deliveries([post.event(declaration("K1"))]))
    assert outcomes(worker.turn()) == ["known"]
    assert files(folder) == []


def test_a_folder_that_is_away_is_waited_for_and_told(pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path) -> None:
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("W1"))]))
    settings = asycuda(tmp_path / "share")
    worker = worker_of(settings, engine)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_for(lambda: standing(engine, settings).trouble is not None)
        assert standing(engine, settings).trouble.code == "follow-folder"  # type: ignore[union-attr]
        assert standing(engine, settings).behind == 1
        (tmp_path / "share").mkdir()
        wait_for(lambda: standing(engine, settings).outcomes == {"written": 1})
        assert standing(engine, settings).trouble is None
    finally:
        worker.stop.set()
        thread.join(20)
    assert not thread.is_alive()


def test_the_last_success_is_of_what_was_done_and_not_of_what_failed(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, folder: Path
) -> None:
    settings = asycuda(folder)
    worker = worker_of(settings, engine)
    assert standing(engine, settings).last_success_utc is None
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("S1"))]))
    began = worker.clock()
    worker.turn()
    succeeded = standing(engine, settings).last_success_utc
    assert succeeded is not None
    assert began <= succeeded <= worker.clock()
    (folder / "TJ+TJPNJ+2026+S2+v1.xml").write_text("somebody else's")
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("S2"))]))
    assert outcomes(worker.turn()) == ["failed"]
    stands = standing(engine, settings)
    assert (stands.last_success_utc, stands.outcomes) == (succeeded, {"written": 1, "failed": 1})


def standing(engine: Engine, settings: AnyFollower) -> ledger.Standing:
    with engine.connect() as connection:
        return ledger.standing(connection, settings)


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(300):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it never came true")


def test_names_are_safe_and_different_for_different_versions() -> None:
    assert file_name("TJ/PNJ01/2026/000417", 1) == "TJ+PNJ01+2026+000417+v1"
    references = [
        "TJ/P/2026/a",
        "TJ/P/2026/A",
        "TJ/P/2026/A/1",
        "TJ/P/2026/A-1",
        "TJ/P/2026/A+v2",
        "TJ/../2026/..",
        "TJ/P/2026/" + "9" * 200,
    ]
    names = [file_name(reference, version) for reference in references for version in (1, 2)]
    assert len({name.casefold() for name in names}) == len(names)
    assert all("/" not in name and not name.startswith(".") and len(name) < 150 for name in names)


# -- Tables

TABLES = """
CREATE TABLE national_declaration (ref VARCHAR(60) PRIMARY KEY, version INTEGER, exporter VARCHAR(20) NOT NULL, total NUMERIC(14, 2),
    registered DATE, plates VARCHAR(100), status VARCHAR(20), their_own VARCHAR(10) DEFAULT 'theirs');
CREATE TABLE national_item (ref VARCHAR(60), line INTEGER, hs VARCHAR(6), PRIMARY KEY (ref, line));
CREATE TABLE national_history (ref VARCHAR(60), version INTEGER, event VARCHAR(36))
"""
MAPPING = """
[[tables]]
table = "national_declaration"
key = ["ref"]
[tables.columns]
reference = "ref"
version = "version"
exporter_name = "exporter"
invoice_amount = "total"
registered_on = "registered"
vehicle_ids = "plates"
"event.status" = "status"

[[tables]]
table = "national_item"
each = "items"
key = ["ref", "line"]
cancelled = "delete"
[tables.columns]
reference = "ref"
"items.number" = "line"
"items.hs_code" = "hs"

[[tables]]
table = "national_history"
mode = "append"
[tables.columns]
reference = "ref"
version = "version"
"event.id" = "event"
"""


def tables(path: Path, mapping: str = MAPPING, **changes: Any) -> MappedTables:
    path.write_text(mapping)
    values = {"kind": "tables", "name": "national", "types": [EXPORT], "purpose": "customs-control", "mapping": path}
    return MappedTables.model_validate({**values, **changes})


def made(engine: Engine) -> Engine:
    with engine.begin() as connection:
        for statement in TABLES.split(";"):
            connection.execute(text(statement))
    return engine


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_tables_are_filled_and_follow_every_version(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path, elsewhere: bool
) -> None:
    other = f"sqlite:///{tmp_path}/national.sqlite" if elsewhere else None
    there = made(open_engine(other) if other else engine)
    settings = tables(tmp_path / "mapping.toml", database=other)
    post = frontier.post
    late = post.event(declaration("T2"))
    pipeline.process(frontier.deliveries([post.event(declaration("T1")), post.event(declaration("T2", 2, items=1))]))
    worker = worker_of(settings, engine)
    assert outcomes(worker.turn()) == ["written", "written"]
    everything = "SELECT ref, version, exporter, total, plates, status, their_own FROM national_declaration ORDER BY ref"
    assert [(row[0], row[1], row[2], float(row[3]), *row[4:]) for row in rows(there, everything)] == [
        ("TJ/TJPNJ/2026/T1", 1, "Bodom Export", 10800.0, '["1234AB01"]', "in-force", "theirs"),
        ("TJ/TJPNJ/2026/T2", 2, "Bodom Export", 10800.0, '["1234AB01"]', "in-force", "theirs"),
    ]
    assert rows(there, "SELECT count(*) FROM national_item") == [(4,)]
    with there.begin() as connection:
        connection.execute(text("UPDATE national_declaration SET their_own = 'kept'"))
    pipeline.process(frontier.deliveries([late, post.event(declaration("T1", 2, items=2)), post.event(cancellation("T2", 3, 2))]))
    worker.turn()
    assert rows(there, "SELECT ref, version, status, their_own FROM national_declaration ORDER BY ref") == [
        ("TJ/TJPNJ/2026/T1", 2, "in-force", "kept"),
        ("TJ/TJPNJ/2026/T2", 3, "cancelled", "kept"),
    ]
    assert rows(there, "SELECT ref, line FROM national_item ORDER BY line") == [("TJ/TJPNJ/2026/T1", 1), ("TJ/TJPNJ/2026/T1", 2)]
    assert sorted(rows(there, "SELECT ref, version FROM national_history")) == [
        *(("TJ/TJPNJ/2026/T1", version) for version in (1, 2)),
        *(("TJ/TJPNJ/2026/T2", version) for version in (1, 2, 3)),
    ]
    worker.close()


def test_a_row_that_its_table_refuses_stops_nobody_and_says_why(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path
) -> None:
    made(engine)
    post = frontier.post
    nameless = declaration("R1")
    del nameless["exporter_name"]
    raws = [
        post.event(nameless),
        post.event(declaration("R2", exporter_name="a name that is far too long for it")),
        post.event(declaration("R3")),
    ]
    pipeline.process(frontier.deliveries(raws))
    worker = worker_of(tables(tmp_path / "mapping.toml"), engine)
    assert outcomes(worker.turn()) == ["failed", "failed", "written"]
    assert rows(engine, "SELECT ref FROM national_declaration") == [("TJ/TJPNJ/2026/R3",)]
    assert rows(engine, "SELECT count(*) FROM national_history") == [(1,)], "nothing of a refused event stays"
    with engine.connect() as connection:
        codes = {row.reference[-2:]: (row.code, row.detail) for row in ledger.failures(connection, "national", 10)}
    assert codes["R1"][0] == "follow-refused"
    assert codes["R2"] == ("follow-unfit", "column exporter holds 20 characters, and this is 34 long")


def test_a_table_that_is_gone_hinders_and_costs_no_event(pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path) -> None:
    made(engine)
    worker = worker_of(tables(tmp_path / "mapping.toml"), engine)
    worker.turn()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE national_item RENAME TO elsewhere"))
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("Z1"))]))
    with pytest.raises(Hindrance, match="refuse every row"):
        worker.turn()
    with pytest.raises(SettingsError, match="no such table"):  # it looks again, and says what is wrong
        worker.turn()
    assert standing(engine, worker.settings).outcomes == {}
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO national_item"))
    assert outcomes(worker.turn()) == ["written"]


def test_a_deferred_constraint_costs_the_event_that_breaks_it(
    postgres_url: str, frontier: Frontier, pipeline_on: Callable[[Engine], Pipeline], tmp_path: Path
) -> None:
    engine = made(open_engine(postgres_url))
    migrations.make_ready(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE allowed (hs VARCHAR(6) PRIMARY KEY)"))
        connection.execute(text("INSERT INTO allowed VALUES ('080212')"))
        constraint = "FOREIGN KEY (hs) REFERENCES allowed DEFERRABLE INITIALLY DEFERRED"
        connection.execute(text(f"ALTER TABLE national_item ADD CONSTRAINT known {constraint}"))
    bad = declaration("Y1")
    bad["items"][1]["hs_code"] = "999999"
    raws = [frontier.post.event(data) for data in (bad, declaration("Y2"))]
    pipeline_on(engine).process(frontier.deliveries(raws))
    worker = worker_of(tables(tmp_path / "mapping.toml"), engine)
    assert outcomes(worker.turn()) == ["failed", "written"]
    assert rows(engine, "SELECT DISTINCT ref FROM national_item") == [("TJ/TJPNJ/2026/Y2",)]
    engine.dispose()


@pytest.fixture
def pipeline_on(frontier: Frontier, record: Consumer) -> Callable[[Engine], Pipeline]:
    return lambda engine: Pipeline(record, engine, frontier.trust, frontier.expected, threading.Event(), Hands())


def test_an_event_that_surprises_its_follower_is_found_and_left_behind(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, folder: Path
) -> None:
    pipeline.process(frontier.deliveries([frontier.post.event(declaration(f"S{number}")) for number in range(1, 6)]))

    class Surprised(AsycudaFolder):
        """A kind with a fault that one declaration brings out."""

        def write(self, connection: Any, todos: Sequence[Todo]) -> list[Done]:
            if any(todo.event.reference.endswith("S3") for todo in todos):
                raise ZeroDivisionError("a secret name")
            return super().write(connection, todos)

    settings = asycuda(folder)
    worker = worker_of(settings, engine)
    done: list[Done] = []
    for _ in range(5):
        worker._kind = Surprised(settings)
        done += worker.turn()
    assert outcomes(done) == ["failed", *["written"] * 4]
    assert len(files(folder)) == 4
    with engine.connect() as connection:
        (failure,) = ledger.failures(connection, "asycuda", 10)
    assert (failure.reference, failure.code) == ("TJ/TJPNJ/2026/S3", "follower-surprise")
    assert "secret" not in failure.detail


def test_crossing_events_fill_tables_too(pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE passage (ref VARCHAR(60) PRIMARY KEY, plates VARCHAR(60), at TIMESTAMP, own VARCHAR(9))"))
    mapping = """
[[tables]]
table = "passage"
key = ["ref"]
columns = { reference = "ref", "vehicle.plates" = "plates", occurred_at = "at", "extensions.own" = "own" }
"""
    post = frontier.post
    pipeline.process(frontier.deliveries([post.event(crossing("p1", "arrived", 1, extensions={"own": "x"}), CROSSING)], CROSSING))
    assert outcomes(worker_of(tables(tmp_path / "m.toml", mapping, types=[CROSSING]), engine).turn()) == ["written"]
    ((ref, plates, instant, own),) = rows(engine, "SELECT ref, plates, at, own FROM passage")
    assert (ref, plates, str(instant)[:19], own) == ("TJ/TJPNJ/crossing/p1", '["1234AB01"]', "2026-11-23 11:30:00", "x")


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ('table = "national_item"', 'table = "national_item; DROP TABLE inbox"', "no such table"),
        ('table = "national_item"', 'table = "inbox"', "one of Panj's own"),
        ('"items.hs_code" = "hs"', '"items.hs_code" = "hs_code"', "no such columns"),
        ('key = ["ref", "line"]', 'key = ["hs", "ref"]', "not unique"),
        ('"items.hs_code" = "hs"', '"items.colour" = "hs"', "has this field"),
        ('each = "items"\n', "", "needs a table with each"),
        ('[tables.columns]\nreference = "ref"\nversion', "[tables.column]\nversion", "columns"),
    ],
)
def test_a_mapping_is_checked_against_the_model_and_the_catalogue(engine: Engine, tmp_path: Path, was: str, now: str, said: str) -> None:
    made(engine)
    assert was in MAPPING
    worker = worker_of(tables(tmp_path / "mapping.toml", MAPPING.replace(was, now)), engine)
    with pytest.raises(SettingsError, match=said):
        worker.turn()


def test_what_was_written_elsewhere_and_not_noted_is_written_again_without_harm(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, tmp_path: Path
) -> None:
    other = f"sqlite:///{tmp_path}/national.sqlite"
    there = made(open_engine(other))
    mapping = MAPPING.partition('[[tables]]\ntable = "national_history"')[0]
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("H1"))]))
    settings = tables(tmp_path / "mapping.toml", mapping, database=other)
    for _ in range(2):
        worker = worker_of(settings, engine)
        assert outcomes(worker.turn()) == ["written"]
        with engine.begin() as connection:  # as if it had died before it was noted
            ledger.forget(connection, "national")
        worker.close()
    assert rows(there, "SELECT count(*) FROM national_declaration") == [(1,)]
    assert rows(there, "SELECT count(*) FROM national_item") == [(3,)]
    there.dispose()


def test_pruned_inbox_rows_take_what_was_noted_of_them_along(pipeline: Pipeline, frontier: Frontier, engine: Engine, folder: Path) -> None:
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("P1"))]))
    worker_of(asycuda(folder), engine).turn()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM inbox"))
        assert connection.execute(select(followed)).all() == []
