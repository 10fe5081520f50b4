"""No value that is not released appears in any byte that leaves: bodies, headers, properties, receipts, closings, logs; encrypted or not.

The identity is released by definition (docs/purpose.md): a declaration's reference is the subject of its event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.bundle.lines import expand
from broker.memory import MemoryExchange
from broker.ports import Message
from broker.settings.model import ClosingSettings, Release, Settings
from producers.formats.reading import ReadDeclaration
from producers.intake import Accepted, Intake
from producers.release import problems_of
from schemas.content import MODELS
from schemas.meanings import fields_of
from schemas.names import STREAM_TYPES
from tests.integration.recovery.world import POST, Authorities, World, world_at
from tests.integration.release.marked import CROSSING, EXPORT, IMPORT, TRANSIT, is_marker, leaves, marked, markers_in

_IDENTITY = ("administration", "office_code", "registration_year", "registration_number")
_DECLARATION = (*_IDENTITY, "version", "message_function", "corrects", "correction_reason", "items.number", "items.hs_code")
_HAPPENED = ("administration", "office_code", "event_number", "kind", "occurred_at")
_OF_DECLARATION = ("declaration_administration", "declaration_office_code", "declaration_year", "declaration_number")
NEEDED = {
    **dict.fromkeys((EXPORT, IMPORT, TRANSIT), _DECLARATION),
    CROSSING: (*_HAPPENED, *_OF_DECLARATION, "vehicle.plates", "onto_vehicle.plates", "weighed_mass_kg", "reason"),
}
IDENTITY = {*_IDENTITY, "event_number"}


@dataclass
class Banks:
    """Both banks of the river, and everything that crosses it, kept."""

    world: World
    there: MemoryExchange
    back: MemoryExchange
    kinds: set[str] = field(default_factory=set)

    def crossed(self) -> list[Message]:
        """What has crossed since the last look, both ways."""
        return [queued.message for tap in (self.there, self.back) for queued in tap.take("everything", 10_000, 0, lambda: False)]


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    return Authorities(tmp_path_factory.mktemp("authorities"))


@pytest.fixture(scope="module", params=[False, True], ids=["openly", "encrypted"])
def banks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, authorities: Authorities) -> Iterator[Banks]:
    with world_at(tmp_path_factory.mktemp("world"), authorities, sealed=request.param) as world:
        world.close_post()
        world.settings = world.settings.model_copy(update={"closing": ClosingSettings(every_seconds=60)})
        world.open_post()
        taps = []
        for exchange in (world.ours, world.theirs):
            tap = MemoryExchange()
            tap.declare("everything", "#")
            exchange.federate(tap)
            taps.append(tap)
        yield Banks(world, taps[0], taps[1])


@st.composite
def releases(draw: st.DrawFn, event_type: str) -> Release:
    """A release of a type: what a receiver needs, and any further fields; whole lists and parts, too."""
    paths = [field.path for field in fields_of(MODELS[event_type])] + ["extensions.own", "extensions.deep.inner"]
    more = draw(st.sets(st.sampled_from(paths), max_size=12) | st.just({"*"}))
    return _whole(Release(type=event_type, fields=(*NEEDED[event_type], *more), purpose="customs-control", legal_basis="protocol"))


def _whole(release: Release) -> Release:
    """Add what a document or guarantee needs once part of it is released, as the check itself advises."""
    problems = problems_of(release, "here")
    if not problems:
        return release
    lacking = problems[0].text.partition("add them: ")[2].split(", ")
    return release.model_copy(update={"fields": (*release.fields, *lacking)})


def covered(path: str, release: Release) -> bool:
    """Whether a release covers a field: written for this test alone, and simpler than what it tries."""
    return any(each in ("*", path) or path.startswith(f"{each}.") for each in release.fields)


def texts_of(message: Message) -> str:
    """Everything that leaves with a message, readable: unpacked body, headers and properties."""
    body = expand(message.body, message.content_encoding) if message.content_encoding else message.body
    return body.decode("utf-8") + repr(message)


def test_every_field_of_every_type_is_marked() -> None:
    for event_type in STREAM_TYPES:
        data = marked(event_type)
        MODELS[event_type].model_validate(data)
        told = {path for path, _ in leaves(data)}
        fields = [field.path for field in fields_of(MODELS[event_type])]
        ends = {field for field in fields if not any(other.startswith(f"{field}.") for other in fields)} - {"extensions"}
        assert ends <= told
        markers = [value for _, value in leaves(data) if is_marker(value)]
        assert len(markers) == len(set(markers)) > 10


@pytest.mark.parametrize("event_type", sorted(STREAM_TYPES))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.data(), items=st.integers(1, 3), left_out=st.sets(st.integers(0, 60), max_size=10))
def test_no_unreleased_value_is_in_any_byte_that_leaves(
    banks: Banks, event_type: str, chosen: st.DataObject, items: int, left_out: set[int]
) -> None:
    release = chosen.draw(releases(event_type))
    data = marked(release.type, items)
    for place in left_out:  # not every declaration has every field
        name = sorted(data)[place % len(data)]
        if name not in {*NEEDED[release.type], "items", "vehicle", "onto_vehicle"}:
            data.pop(name)
    assert problems_of(release, "here") == []
    world = banks.world
    with structlog.testing.capture_logs() as logged:
        (outcome,) = Intake(_settings_with(world.settings, release), POST, world.outbox).accept([ReadDeclaration(release.type, data)])
        assert isinstance(outcome, Accepted), outcome
        for seconds in (0, 11, 61, 11, 11):
            world.turn(seconds)
    assert world.outbox.is_quiet(), "its receipt came home"

    allowed = {path for path, _ in leaves(data) if covered(path, release)}
    unreleased = {value for path, value in leaves(data) if is_marker(value) and path not in allowed} - _identity(data)
    messages = banks.crossed()
    kinds = {str(message.headers["type"]) for message in messages if "type" in message.headers}
    assert {release.type, "customs.receipt.v1"} <= kinds
    banks.kinds |= kinds
    left = markers_in("".join(map(texts_of, messages)))
    stored, loaded = markers_in(_file(world, "outbox")), markers_in(_file(world, "house"))
    assert _identity(data) <= loaded, "it was looked for where it is"
    assert unreleased & left == set()
    assert unreleased & stored == set(), "not even the outbox holds it"
    assert unreleased & loaded == set(), "nor the neighbour's database, where it is decrypted"
    said = {value for _, value in leaves(data) if is_marker(value)} - _identity(data)
    told = markers_in(json.dumps(logged, default=str, ensure_ascii=False))
    assert said & told == set(), "logs hold nothing of a declaration"
    if not world._recipients:
        for raw in _events(messages, release.type):
            assert {path for path, _ in leaves(raw["data"])} <= allowed | {"version", "message_function"}
    else:
        assert (said | _identity(data)) & left == set(), "encrypted, not even the identity is readable"


def _identity(data: dict[str, Any]) -> set[str]:
    return {str(data[name]) for name in IDENTITY if is_marker(data.get(name))}


def _file(world: World, name: str) -> str:
    return b"".join(path.read_bytes() for path in world.directory.glob(f"{name}.sqlite*")).decode("utf-8", "replace")


def _events(messages: list[Message], event_type: str) -> Iterator[dict[str, Any]]:
    for message in messages:
        body = expand(message.body, message.content_encoding) if message.content_encoding else message.body
        yield from (event for event in json.loads(body) if event["type"] == event_type)


def _settings_with(settings_: Settings, release: Release) -> Settings:
    partner = settings_.partners["af"].model_copy(update={"releases": (release,)})
    return settings_.model_copy(update={"partners": {"af": partner}, "home": None})


def test_everything_that_is_ever_sent_was_among_it(banks: Banks) -> None:
    assert {*STREAM_TYPES, *(f"customs.{word}.v1" for word in ("receipt", "beacon", "manifest", "manifest-answer"))} <= banks.kinds


def test_refusals_come_back_without_what_was_not_released(banks: Banks) -> None:
    """The house quotes what it refuses: that can only be what had left."""
    world = banks.world
    release = Release(type=EXPORT, fields=(*_DECLARATION, "accepted_at"), purpose="customs-control", legal_basis="protocol")
    data = marked(EXPORT) | {"accepted_at": "1985-01-02T03:04:05+05:00"}
    Intake(_settings_with(world.settings, release), POST, world.outbox).accept([ReadDeclaration(EXPORT, data)])
    for seconds in (0, 11, 61, 11):
        world.turn(seconds)
    refused = world.rows("SELECT problems FROM inbox WHERE fate = 'REFUSED'")
    assert "instant-implausible" in str(refused)
    left = markers_in("".join(map(texts_of, banks.crossed())))
    assert {value for path, value in leaves(data) if is_marker(value) and not covered(path, release)} & left == set()
