"""What must stand in no log: private keys, passwords, and what declarations say; also when loading fails over it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import create_engine, text

from schemas import examples
from schemas.names import EventType
from tests.acceptance.world import wait_for
from tests.attacks.live.ground import Ground
from tests.attacks.live.walking import of_posts
from tests.attacks.rows import Row

FAMILY = "secrets"
MARK = "Qanoatova"  # stands in every value that must not be told


def attack_secrets(ground: Ground) -> Iterator[Row]:
    """Say private things in every way, have them refused, contradicted, rejected and failed over; then read all logs."""
    private = _say_private_things(ground)
    failures = ground.probe()
    keys = [line for path in ground.lab.directory.rglob("*.key") for line in _body(path.read_text())]
    passwords = [side.management_password for side in ground.lab.sides]
    passwords += [path.read_text().strip() for side in ground.lab.sides for path in (side.directory / "secrets").iterdir()]
    logs = _logs(ground)
    yield _row("private keys in logs", keys, logs)
    yield _row("passwords in logs", passwords, logs)
    yield _row("what declarations say, in logs", private, logs)
    yield Row(FAMILY, "afterwards: honest declarations, both ways", 2, 0, len(failures), failures=tuple(failures))


def _row(name: str, wanted: Sequence[str], logs: dict[str, str]) -> Row:
    wanted = sorted(set(wanted))
    found = [f"{log} tells {each[:6]}…" for log, said in logs.items() for each in wanted if each in said]
    spoiled = next(iter(logs.values())) + wanted[0]
    size = sum(len(said) for said in logs.values())
    return Row(
        FAMILY, name, len(wanted) * len(logs), len(found), 0, wanted[0] in spoiled, f"{len(logs)} logs, {size:,} characters", tuple(found)
    )


def _body(pem: str) -> list[str]:
    return [line for line in pem.splitlines() if len(line) > 30 and "-----" not in line]


def _logs(ground: Ground) -> dict[str, str]:
    """All that daemons, brokers and databases logged."""
    places = [*(ground.lab.directory / "log").rglob("*"), *(ground.lab.directory / "broker").rglob("log/*")]
    places += (ground.lab.directory / "postgresql").rglob("*.log") if ground.lab.postgres else []
    return {str(path.relative_to(ground.lab.directory)): path.read_text(errors="replace") for path in places if path.is_file()}


def _say_private_things(ground: Ground) -> list[str]:
    """Good declarations, refused ones, contradicting ones, rejected files, and such as break the loader; each value bears the mark."""
    said: list[str] = []
    documents: list[tuple[EventType, dict[str, Any]]] = []
    for number in range(6):
        data = examples.export("tj", "PNJ", f"SECRET-{number}")
        data |= {
            name: f"{MARK} {secrets.token_hex(4)}" for name in ("exporter_name", "consignee_name", "declarant_name", "local_reference")
        }
        data |= {"exporter_id": f"{MARK}{secrets.token_hex(4)}", "vehicle_ids": [f"{MARK} {secrets.token_hex(2)}"]}
        said += [data[name] for name in ("exporter_name", "consignee_name", "declarant_name", "local_reference", "exporter_id")] + data[
            "vehicle_ids"
        ]
        documents.append((EventType.EXPORT_DECLARATION, data))
    ground.world.drop(ground.tj, "panji-poyon", documents)
    ground.world.wait_quiet()
    again = [(kind, data | {"exporter_name": data["exporter_name"] + " x"}) for kind, data in documents]
    ground.world.drop(ground.tj, "ishkoshim", again)  # another post, other content: refused, with the values
    bad = [
        (kind, data | {"registration_number": f"BAD-{number}", "declarant_id": f"{MARK}!{number}"})
        for number, (kind, data) in enumerate(documents)
    ]
    ground.world.drop(ground.tj, "ishkoshim", bad)  # rejected at the post
    watch = ground.tj.watch("ishkoshim")
    wait_for("the bad files are rejected", lambda: not list(watch.glob("*.json")))
    _break_loading(ground, said)
    return [*said, MARK]


def _break_loading(ground: Ground, said: list[str]) -> None:
    """Have the house's database refuse a row and quote it, as databases do; the events are held."""
    house = ground.af.settings.house
    assert house is not None
    engine = create_engine(house.database)
    with engine.begin() as connection:
        for statement in _BREAK[engine.dialect.name]:
            connection.execute(text(statement))
    data = examples.export("tj", "PNJ", "BROKEN-1") | {"exporter_name": f"{MARK} {secrets.token_hex(4)}"}
    said.append(str(data["exporter_name"]))
    ground.world.drop(ground.tj, "panji-poyon", [(EventType.EXPORT_DECLARATION, data)])
    wait_for("it is held", lambda: ("HELD",) in of_posts(ground.tj, "SELECT answered_fate FROM outbox WHERE reference LIKE '%BROKEN-1'"))
    with engine.begin() as connection:
        for statement in _MEND[engine.dialect.name]:
            connection.execute(text(statement))
    engine.dispose()
    told = json.dumps(ground.world.rows(ground.af, "SELECT count(*) FROM held")[0][0])
    assert int(told) >= 1, "nothing was held: the loader was not broken"


_BREAK = {
    "sqlite": (
        f"""CREATE TRIGGER broken BEFORE INSERT ON declaration WHEN NEW.registration_number = 'BROKEN-1'
            BEGIN SELECT RAISE(ABORT, 'it quotes {MARK}'); END""",
    ),
    "postgresql": ("ALTER TABLE declaration ADD CONSTRAINT broken CHECK (registration_number <> 'BROKEN-1')",),
}
_MEND = {"sqlite": ("DROP TRIGGER broken",), "postgresql": ("ALTER TABLE declaration DROP CONSTRAINT broken",)}
