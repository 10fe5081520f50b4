"""`panj post withdraw`: take back what has not been settled, and tell what became of it. Tombstones are made in `broker.outbox`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

import typer

from broker.audit import actor, worded
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.outbox.values import EventFate, WithdrawalStep, WithdrawalWish, Withdrawn
from broker.settings.load import load_settings
from broker.settings.model import Settings
from producers.life import post_named
from producers.once import relay_once
from producers.post import opened_outbox
from producers.sending import Sent
from schemas.errors import UsageError
from schemas.fates import Fate
from schemas.names import Party, house_of


def withdraw(
    reference: Annotated[str, typer.Argument(help="A declaration's reference, such as TJ/PNJ/2026/1.", show_default=False)],
    *,
    config: ConfigOption,
    post: Annotated[str | None, typer.Option("--post", envvar="PANJ_POST", help="Which post; the only one by default.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; the receiver and the audit trail are told.", show_default=False)],
    version: Annotated[int | None, typer.Option("--version", min=1, help="Only this version; all by default.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="COUNTRY", help="Only from this country's house; all by default.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Leave when the house has answered.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")] = 60,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be withdrawn; change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Withdraw a declaration that is not settled: a signed tombstone goes in its stead, and the house refuses what it has not loaded.

    What the house has loaded is not undone: send a cancellation as its next version. Ends with 0 where it is withdrawn (with --wait:
    the house says so), 1 where it came too late or was settled before, 3 where the house has not answered in time.
    """
    settings = load_settings(config)
    name = post_named(settings, post)
    wish = WithdrawalWish(reference, worded(reason), version, _house(settings, to))
    fates: dict[str, EventFate] = {}
    in_time = True
    with opened_outbox(settings, name) as outbox:
        found = outbox.withdraw(wish, actor(), dry_run=dry_run)
        if wait and not dry_run:
            fates, in_time = relay_once(settings, name, outbox, _awaited(found), timeout_seconds=timeout, wait=True)
    said = {one.event_id: "would be withdrawn" if dry_run else outcome(fates.get(one.event_id)) for one in found}
    if as_json:
        events = [_document(one, said, fates) for one in found]
        print_json({"post": settings.post_party(name).urn, "dry_run": dry_run, "events": events})
    else:
        _print(found, said)
    raise typer.Exit(exit_code(fates.values(), in_time=in_time))


def outcome(fate: EventFate | None) -> str:
    """What became of a withdrawal so far, in words."""
    if fate is None or fate.fate is None:
        return "withdrawn here; the house has not answered yet"
    if fate.fate is Fate.LOADED:
        return "too late: the house had loaded it; send a cancellation as the next version"
    return f"withdrawn: the house will not load it ({', '.join(problem.code for problem in fate.problems)})"


def exit_code(fates: Collection[EventFate], *, in_time: bool) -> int:
    """0 where nothing came too late, 1 where something had been loaded, 3 where an answer is still out."""
    if any(fate.fate is Fate.LOADED for fate in fates):
        return 1
    return 0 if in_time else 3


def _house(settings: Settings, country: str | None) -> str | None:
    if country is None:
        return None
    if country not in settings.lanes:
        text = f"exchange.toml names no such destination; it has: {', '.join(settings.lanes)}"
        raise UsageError("partner-unknown", text, field="--to", value=country)
    return house_of(country).urn


def _awaited(found: Sequence[Withdrawn]) -> list[Sent]:
    return [
        Sent("", None, one.reference, one.version, one.destination, one.event_id) for one in found if one.step is not WithdrawalStep.SETTLED
    ]


def _document(one: Withdrawn, said: Mapping[str, str], fates: Mapping[str, EventFate]) -> dict[str, object]:
    fate = fates.get(one.event_id)
    return {
        "event_id": one.event_id,
        "reference": one.reference,
        "version": one.version,
        "destination": one.destination,
        "type": one.type,
        "stood": one.stood,
        "step": one.step.value,
        "fate": fate.fate.value if fate and fate.fate else None,
        "said": _words(one, said),
    }


def _print(found: Sequence[Withdrawn], said: Mapping[str, str]) -> None:
    rows = [(one.reference, one.version, Party.of_urn(one.destination).unit, one.stood, _words(one, said)) for one in found]
    print_table(("declaration", "version", "to", "stood", "now"), rows)


def _words(one: Withdrawn, said: Mapping[str, str]) -> str:
    if one.step is WithdrawalStep.SETTLED:
        return "settled before: only its next version changes it"
    return said[one.event_id]
