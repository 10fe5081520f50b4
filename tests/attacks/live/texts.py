"""Texts that want to be more than text: SQL, paths, templates, markup, terminal escapes, in every field that the models know.

Each goes in twice: as a file at a post, and signed with a stolen key past the post's own checks. Then records, commands, logs and file
names are looked at.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from datetime import UTC, datetime
from random import Random
from typing import Any

from pydantic import BaseModel

from broker.bundle.pack import Route
from broker.operations.cli import main
from broker.ports import Message
from broker.trust.keys import Identity
from deploy.lab.administrations import Administration
from schemas import examples
from schemas.content import MODELS
from schemas.event import digest_of, event_bytes
from schemas.names import EventType, Party, house_of
from tests.attacks.live.ground import Ground
from tests.attacks.live.walking import Try, of_posts
from tests.attacks.quiet import quieten
from tests.attacks.rows import Row
from tests.attacks.texts import text_fields
from tests.integration.consumers.frontier import Post, subject_of
from tests.unit.bundle.senders import signed_anyhow, with_headers

FAMILY = "texts"
POST = "ishkoshim"
THIEF = Party("tj", "stolen")  # a post whose own outbox is not here: it would notice, and stop, that somebody signs in its name
PAYLOADS = (
    *(
        "'; DROP TABLE declaration; --",
        '"; DELETE FROM inbox; --',
        "1 OR 1=1",
        "') UNION SELECT raw FROM inbox --",
        "$$;SELECT pg_sleep(9)$$",
    ),
    *("%s%n%(x)s", "{0.__class__}", "${jndi:ldap://127.0.0.1:1/a}", "{{7*7}}", "$(touch owned)", "`id`", "|| id", ":name", "\\x41\\"),
    *("../../../../etc/passwd", "/etc/passwd", "..\\..\\x", "a/../../b", "CON", "~root", ".", "file:///etc/passwd"),
    *("[bold red]x[/]", "[link=file:///etc]x[/link]", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "</td>", "&lt;", "\\"),
    *(
        "\x1b[2J\x1b[31m",
        "\x1b]0;owned\x07",
        "a\nb: [error] forged",
        "a\rb",
        "\x9b31m",
        "\u202egnirts",
        "a\u2028b",
        "\ufeff",
        "e\u0301",
        "\x7f",
        "a\tb",
    ),
)
HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
_NAME = re.compile(r"[A-Za-z0-9._@=+,~:#-]+")


def attack_with_texts(ground: Ground, most: int, seed: int) -> Iterator[Row]:
    """Fill each field with each payload, at most so many of them; a row for each way in, and one for each place that shows texts."""
    documents = list(_documents())
    random = Random(f"{seed} texts")
    documents = random.sample(documents, min(most, len(documents)))
    tables = _tables(ground)
    by_file, by_key = Try("as files at a post"), Try("signed with a stolen post's key")
    by_file.tries = len(documents[: most // 4])  # a file is slower than a signature
    ground.world.drop(ground.tj, POST, documents[: most // 4])
    ground.world.wait_quiet(240)
    by_key.tries = _signed(ground, documents)
    stranger = _as_a_stranger(ground)
    yield from ground.rows_after(FAMILY, [by_file, by_key, stranger])
    yield _records(ground, tables, len(documents))
    yield _commands(ground)
    yield _logs(ground)
    yield _files(ground)


def _documents() -> Iterator[tuple[EventType, dict[str, Any]]]:
    """A declaration for each text field of each type and each payload, sound but for that."""
    number = 0
    for event_type in (EventType.EXPORT_DECLARATION, EventType.TRANSIT_DECLARATION, EventType.CROSSING_EVENT):
        for field in text_fields(_model(event_type)):
            for payload in PAYLOADS:
                number += 1
                yield event_type, _filled(event_type, field.path, payload, f"T{number}")


def _model(event_type: EventType) -> type[BaseModel]:
    return MODELS[event_type]


def _filled(event_type: EventType, path: str, payload: str, number: str) -> dict[str, Any]:
    make = {EventType.EXPORT_DECLARATION: examples.export, EventType.TRANSIT_DECLARATION: examples.transit}.get(event_type)
    data = make("tj", "ISK", number, items=1) if make else examples.crossing("tj", "ISK", number)
    steps = path.split(".")
    where: Any = data
    for step, following in zip(steps, [*steps[1:], ""], strict=True):
        last = following == ""
        if step == "*":
            if not where:
                where.append({})
            if last:
                where[0] = payload
            else:
                where[0] |= {name: value for name, value in _NEEDED.get(steps[-3], {}).items() if name not in where[0]}
                where = where[0]
        elif last:
            where[step] = payload
        else:
            where = where.setdefault(step, [] if following == "*" else dict(_NEEDED.get(step, {})))
    return data


_NEEDED: dict[str, dict[str, Any]] = {
    "documents": {"type_code": "380", "reference": "R1"},
    "previous_documents": {"type_code": "380", "reference": "R1"},
    "guarantee": {"type_code": "1"},
}


def _signed(ground: Ground, documents: list[tuple[EventType, dict[str, Any]]]) -> int:
    """Sign them with the post's stolen key, five hundred in a bundle, and let them cross; what the post did sign may stand."""
    pair = ground.tj.authority.create_unit(THIEF)
    post = Post(THIEF, Identity.load(pair.key, pair.certificate))
    taken = 0
    with ground.operator(ground.tj, "af") as operator:
        for event_type in {kind for kind, _ in documents}:
            raws = []
            for kind, data in documents:
                if kind is event_type:
                    name = "registration_number" if "registration_number" in data else "event_number"
                    stolen = {**data, name: data[name].replace("T", "K", 1) if data[name] not in PAYLOADS else data[name]}
                    raws.append(post.event(stolen, event_type.value, subject=_subject(stolen)))
            for start in range(0, len(raws), 100):
                part = raws[start : start + 100]
                ground.excused |= {digest_of(raw) for raw in part}
                route = Route(THIEF, house_of("af"), event_type.value)
                operator.publish([signed_anyhow(part, route, post.identity, datetime.now(UTC))])
                taken += len(part)
    return taken


def _subject(data: dict[str, Any]) -> str:
    try:
        subject = subject_of(data)
    except (KeyError, AttributeError, TypeError):
        return "TJ/ISK/2026/?"
    return subject if subject.isprintable() and 0 < len(subject) <= 200 else "TJ/ISK/2026/?"


def _as_a_stranger(ground: Ground) -> Try:
    """In headers, routing keys and control events' envelopes, by nobody: what is parked is shown to people."""
    one = Try("in headers and envelopes, by a stranger")
    honest: Message = signed_anyhow(
        [event_bytes({"environment": "test", "id": "x"})],
        Route(THIEF, house_of("af"), EventType.EXPORT_DECLARATION.value),
        ground.identity(ground.tj, THIEF.name),
    )
    messages = [
        with_headers(honest, **{name: payload})
        for name in ("source", "destination", "type", "environment", "jws", "kid", "\x1b[31mname")
        for payload in PAYLOADS
    ]
    with ground.operator(ground.af, "tj") as operator:
        one.tries = operator.publish(messages, "inbound")
    with ground.operator(ground.tj, "af") as operator:
        receipts = [
            Message("tj-panji-poyon.customs-receipt-v1.af-customs", each.body, each.headers, each.content_type, each.content_encoding)
            for each in messages
        ]
        one.tries += operator.publish(receipts, "inbound")
    return one


def _tables(ground: Ground) -> list[tuple[Any, ...]]:
    """The names of the house's tables, on either database."""
    if ground.lab.postgres:
        return ground.world.rows(ground.af, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
    return ground.world.rows(ground.af, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")


def _records(ground: Ground, tables: list[tuple[Any, ...]], count: int) -> Row:
    """The records hold the texts as they were signed, character for character, and nothing else has changed."""
    wrongs = [] if _tables(ground) == tables else ["the house's tables are not what they were"]
    query = """SELECT i.raw, d.exporter_name, d.declarant_name, d.local_reference FROM declaration d JOIN inbox i ON i.event_id = d.event_id
               WHERE i.source = :source"""
    kept = 0
    for raw, *texts in ground.world.rows(ground.af, query, source=THIEF.urn):
        data = json.loads(bytes(raw))["data"]
        kept += 1
        if [data.get(name) for name in ("exporter_name", "declarant_name", "local_reference")] != texts:
            wrongs.append(f"the record holds other texts than were signed: {texts}")
        if HARMFUL.search(json.dumps(data, ensure_ascii=False).replace("\n", "")):
            wrongs.append("a control character was loaded")
    return Row(
        FAMILY, "what the records hold of them", count, len(wrongs), 0, kept > 10, f"{kept} declarations loaded as signed", tuple(wrongs)
    )


def _commands(ground: Ground) -> Row:
    """What the commands show of them, on both sides: no control character reaches a terminal."""
    references = [row[0] for row in of_posts(ground.tj, "SELECT reference FROM outbox WHERE fate = 'REFUSED' LIMIT 3")]
    references += [row[0] for row in ground.world.rows(ground.af, "SELECT reference FROM inbox WHERE source = :s LIMIT 200", s=THIEF.urn)][
        ::40
    ]
    said = [(side, words) for side in ground.lab.sides for words in (["status"], ["parked", "list"], ["held", "list"])]
    said += [(ground.af, ["trace", reference]) for reference in references]
    said += [(ground.af, ["customs", "declaration", reference]) for reference in references]
    digests = ground.world.rows(ground.af, "SELECT digest FROM parked ORDER BY last_seen_utc DESC LIMIT 4")
    said += [(ground.af, ["parked", "show", bytes(row[0]).hex()]) for row in digests]
    said += [(side, [*words, "--json"]) for side, words in said]
    wrongs = []
    for side, words in said:
        told = _told(side, words)
        found = HARMFUL.search(told)
        if found or "Traceback" in told or not told:
            wrongs.append(f"panj {' '.join(words)} on {side.plan.country}: {found and ascii(found.group())} {told[-200:]}")
    quieten()
    name = "what status, trace, held, parked and declaration show of them"
    return Row(FAMILY, name, len(said), len(wrongs), 0, HARMFUL.search("\x1b[2J") is not None, "", tuple(wrongs))


def _told(side: Administration, words: list[str]) -> str:
    """What a command says, run in this process: dozens of them would be slow as processes of their own."""
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told), suppress(SystemExit):
        main([*words, "--config", str(side.config)])
    return told.getvalue()


def _logs(ground: Ground) -> Row:
    """What the daemons' logs hold of them: each line is one event, and speaks to no terminal."""
    wrongs, lines = [], 0
    for log in (ground.lab.directory / "log").glob("*.log"):
        for line in log.read_text(errors="replace").split("\n"):
            lines += 1
            if HARMFUL.search(line) or (line and not line.startswith("{")):
                wrongs.append(f"{log.stem}: {ascii(line)[:200]}")
    return Row(FAMILY, "what the daemons' logs hold of them", lines, len(wrongs), 0, None, "each line one event in JSON", tuple(wrongs))


def _files(ground: Ground) -> Row:
    """The names of all files that were made: no payload has become one, or has left its place."""
    names = [path.name for side in ground.lab.sides for path in side.directory.rglob("*")]
    wrongs = [ascii(name) for name in names if not _NAME.fullmatch(name)]
    wrongs += ["a payload was run"] if "owned" in names else []
    return Row(FAMILY, "the names of files", len(names), len(wrongs), 0, None, "", tuple(wrongs))
