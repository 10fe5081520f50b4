"""`panj post recover`: from an outbox that was set back, or is gone for good, to one that accepts again. What is learned from the houses,
and how, stands in `broker.outbox.recovering`; who asks them, in `broker.relay.recovering`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from broker.audit import worded
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.outbox.store import Outbox
from broker.outbox.values import HouseRecovery, RecoveryState
from broker.settings.load import load_settings
from broker.settings.model import Settings
from producers.life import open_outbox, post_named
from producers.marker import Marker
from producers.once import relaying
from schemas.control import StreamHead
from schemas.errors import UsageError
from schemas.names import Party, house_of

POLL_SECONDS = 0.2

PostOption = Annotated[str | None, typer.Option("--post", envvar="PANJ_POST", help="Which post; the only one by default.")]


class Found(StrEnum):
    """How the outbox was found."""

    NONE = "there was none"
    LOST = "its file is gone"
    SET_BACK = "set back to an older state"
    RECOVERING = "a recovery has begun and not ended"
    SOUND = "sound, as far as is known"


@dataclass(frozen=True, slots=True)
class Standing:
    """How an outbox stands before it recovers: how it was found, why, and from where on each house (URN) would tell."""

    found: Found
    because: str
    heads: dict[str, list[StreamHead]]


def examine_standing(settings: Settings, name: str) -> Standing:
    """Look, and change nothing but what opening it tells by itself."""
    houses = houses_of(settings, ())
    marker = Marker.of(settings.posts[name].outbox)
    if marker is not None and not marker.outbox.exists():
        lost = marker.begun() is not None
        return Standing(Found.LOST if lost else Found.NONE, "", {house: [] for house in houses})
    outbox = open_outbox(settings, name)
    try:
        return standing_of(outbox.recovery(), {house: outbox.heads_to_ask(house) for house in houses})
    finally:
        outbox.close()


def standing_of(state: RecoveryState, heads: dict[str, list[StreamHead]]) -> Standing:
    """How an outbox that is there stands."""
    if state.life.suspected_because is not None:
        return Standing(Found.SET_BACK, state.life.suspected_because, heads)
    if state.life.recovering:
        return Standing(Found.RECOVERING, "", heads)
    return Standing(Found.SOUND, "", heads)


def houses_of(settings: Settings, without: Sequence[str]) -> list[str]:
    """The houses (URN) that are asked; UsageError where one to be left out is none of them."""
    for country in without:
        if country not in settings.lanes:
            text = f"exchange.toml names no such destination; it has: {', '.join(settings.lanes)}"
            raise UsageError("partner-unknown", text, field="--without", value=country)
    return [house_of(country).urn for country in settings.lanes if country not in without]


def begin_recovery(settings: Settings, name: str, found: Found, houses: Sequence[str], *, everything: bool, reason: str) -> Outbox:
    """Begin, or go on; durable before anything is asked. Gives the opened outbox."""
    marker = Marker.of(settings.posts[name].outbox)
    outbox = open_outbox(settings, name, even_where_lost=found is Found.LOST)
    everything = everything or found in (Found.LOST, Found.NONE)
    state = outbox.begin_recovery(houses, everything=everything, reason=reason or found.value)
    if marker is not None:
        marker.begin(state.life.epoch)
    return outbox


def wait_recovered(settings: Settings, name: str, outbox: Outbox, timeout_seconds: float | None, tell: Callable[[str], None]) -> bool:
    """Relay, where no other process does, until every house has told all, or for so long; whether it came to its end."""
    until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    told: dict[str, str] = {}
    with ExitStack() as running:
        relays = False
        while True:
            state = outbox.recovery()
            for house in state.houses:
                words = progress_of(house)
                if told.get(house.destination) != words:
                    told[house.destination] = words
                    tell(f"{Party.of_urn(house.destination).unit}: {words}")
            if not state.life.recovering:
                return True
            if until is not None and time.monotonic() >= until:
                return False
            if not relays and outbox.holder() is None:
                running.enter_context(relaying(settings, name, outbox))
                relays = True
            time.sleep(POLL_SECONDS)


def progress_of(house: HouseRecovery) -> str:
    """How far one house is, in words."""
    if house.answered_at_utc is not None:
        done = f"{house.learned} learned, {house.settled} settled, {house.reissued} sent again as new events"
        return f"has told all it holds, {house.told} events: {done}"
    if house.remaining is None:
        return "asked; no answer yet"
    return f"has told {house.told} events, {house.remaining} are left"


def recover(
    *,
    config: ConfigOption,
    post: PostOption = None,
    timeout: Annotated[float | None, typer.Option("--timeout", min=0, help="Seconds to wait at most; without limit by default.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="What happened; the audit trail keeps it.")] = "",
    everything: Annotated[bool, typer.Option("--everything", help="Have all told, not only what may be forgotten here.")] = False,
    without: Annotated[list[str] | None, typer.Option("--without", metavar="COUNTRY", help="Do not wait for this country's house.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also where nothing is wrong, as far as is known.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell how it stands and what would be asked; change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Recover an outbox that was restored from a backup, or begin a new one where it is gone for good; then the post accepts again.

    Begins a new epoch, and asks every customs house what it holds of this post. May be interrupted at any moment and started again, also
    beside a running post, which goes on with it. Ends with 0 once every house has told all, with 3 where that took longer than --timeout.
    """
    settings = load_settings(config)
    name = post_named(settings, post)
    houses = houses_of(settings, without or ())
    standing = examine_standing(settings, name)
    if dry_run:
        _show_standing(settings.post_party(name).urn, standing, as_json=as_json)
        return
    if standing.found is Found.SOUND and not force:
        text = "this outbox was not set back, as far as is known: with --force it begins a new epoch all the same"
        raise UsageError("recovery-needless", text, value=name)
    outbox = begin_recovery(settings, name, standing.found, houses, everything=everything, reason=worded(reason) if reason else "")
    try:
        done = wait_recovered(settings, name, outbox, timeout, lambda words: typer.echo(words, err=True))
        result = result_of(settings.post_party(name).urn, standing, outbox)
    finally:
        outbox.close()
    show_result(result, {}, as_json=as_json)
    raise typer.Exit(0 if done else 3)


def _show_standing(post: str, standing: Standing, *, as_json: bool) -> None:
    asked = {Party.of_urn(house).unit: standing.heads[house] for house in standing.heads}
    if as_json:
        heads = {unit: [head.model_dump(mode="json") for head in known] for unit, known in asked.items()}
        print_json({"post": post, "outbox": standing.found.value, "because": standing.because or None, "known": heads})
        return
    print_table(("post", "outbox", "why"), [(post, standing.found.value, standing.because)])
    rows = [(unit, head.type.value, head.epoch, f"beyond {head.last}") for unit, known in asked.items() for head in known]
    print_table(("would ask", "type", "epoch", "for what is"), [*rows, *((unit, "all", "all", "there") for unit in asked)])


@dataclass(frozen=True, slots=True)
class Result:
    """How far a recovery came."""

    post: str
    standing: Standing
    state: RecoveryState
    holes: int


def result_of(post: str, standing: Standing, outbox: Outbox) -> Result:
    """Ask the outbox how far it is."""
    return Result(post, standing, outbox.recovery(), outbox.holes())


def show_result(result: Result, more: Mapping[str, object], *, as_json: bool) -> None:
    """Print it, with `more` in the JSON document."""
    state = result.state
    if as_json:
        document = {"post": result.post, "outbox": result.standing.found.value, "epoch": state.life.epoch}
        houses = [_document(house) for house in state.houses]
        print_json(document | {"recovered": not state.life.recovering, "houses": houses, "holes": result.holes} | dict(more))
        return
    rows = [(Party.of_urn(house.destination).unit, progress_of(house)) for house in state.houses]
    print_table(("house", "how far"), rows, title=f"{result.post}, epoch {state.life.epoch}")
    for line in _advice(state, result.holes):
        typer.echo(line)


def _document(house: HouseRecovery) -> dict[str, object]:
    return {
        "house": house.destination,
        "told": house.told,
        "left": house.remaining,
        "answered_at": house.answered_at_utc,
        "learned": house.learned,
        "settled": house.settled,
        "reissued": house.reissued,
    }


def _advice(state: RecoveryState, holes: int) -> list[str]:
    if state.life.recovering:
        return ["Not every house has told all yet: the post accepts nothing until then. Run this again, or leave it to the running post."]
    lines = ["The post accepts again. Put in again what taken/ holds of the forgotten time: what a house holds is recognised."]
    if holes:
        lines.append(f"{holes} numbers were given of which nobody knows the event: what they were is only in taken/ or in a second copy.")
    return lines
