"""`panj topology`: plan, apply, check and render what stands on our broker. What is wanted is decided in `derive`, compared in `diff`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from broker.audit import actor
from broker.operations.expiries import of_links
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.settings.load import load_settings
from broker.settings.model import Settings
from broker.topology.apply import apply_topology, plan_topology, read_topology
from broker.topology.check import Finding, judge, kept_out
from broker.topology.diff import Action, Change, TopologyDiff
from broker.topology.management import ManagementApi
from broker.topology.model import Thing
from broker.topology.observe import observe_broker
from broker.topology.render import render as render_files
from broker.topology.shut import connections_of, link_user_of
from broker.topology.shut import readmit as readmit_user
from broker.topology.shut import shut as shut_out
from schemas.errors import UnavailableError

commands = typer.Typer(
    name="topology", help="What stands on our broker: plan, apply, check, render; derived from exchange.toml.", no_args_is_help=True
)

RemoveOption = Annotated[
    bool,
    typer.Option("--remove", help="Also remove lanes, queues and users that exchange.toml no longer names, with all that waits in them."),
]


@commands.command()
def plan(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Show what would change, and change nothing. Ends with 0 also where there is something to do; `check` ends with 1."""
    _show(plan_topology(load_settings(config)), as_json, done=False)


@commands.command()
def apply(
    config: ConfigOption,
    as_json: JsonOption = False,
    remove: RemoveOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
) -> None:
    """Make our broker stand as exchange.toml says. Doing it again changes nothing."""
    settings = load_settings(config)
    if dry_run:
        _show(_pending(plan_topology(settings), remove=remove), as_json, done=False)
        return
    planned = plan_topology(settings)
    applied = apply_topology(settings, remove=remove)
    kept = () if remove else tuple(change for change in planned.changes if change.deliberate)
    _show(applied, as_json, done=True, kept=kept)


@commands.command()
def check(
    config: ConfigOption,
    as_json: JsonOption = False,
    wait_seconds: Annotated[float, typer.Option("--wait", min=0, help="Look again for so many seconds until all is well.")] = 0,
) -> None:
    """Tell drift, links that do not run, federation queues that nobody takes from, alarms and open listeners; ends with 1 on any."""
    settings = load_settings(config)
    findings = _findings(settings) if not wait_seconds else _patient_findings(settings, wait_seconds)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    elif findings:
        print_table(("what", "is wrong", "code"), [(finding.subject, finding.text, finding.code) for finding in findings])
    else:
        typer.echo("the broker stands and runs as exchange.toml says")
    if findings:
        raise typer.Exit(1)


@commands.command()
def shut(
    country: Annotated[str, typer.Argument(help="The partner whose link is shut out, such as af.")],
    *,
    config: ConfigOption,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever comes next.")],
    user: Annotated[str | None, typer.Option("--user", help="Its user, where it is not the one that exchange.toml names.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be closed, and close nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Shut a partner's link out at once: delete its user and close its connections. No later apply lets it in again.

    What waits for the partner stays. It comes in again with a certificate that bears another name, once partners.X.link_user names it.
    """
    settings = load_settings(config)
    name = link_user_of(settings, country, user)
    with ManagementApi(settings.broker.management) as api:
        connections = connections_of(api, name)
        if not dry_run:
            shut_out(api, name, actor(), reason, datetime.now(UTC))
    if as_json:
        print_json({"user": name, "connections": connections, "done": not dry_run})
    elif dry_run:
        typer.echo(f"would delete the user {name} and close its connections ({len(connections)} show)")
    else:
        typer.echo(
            f"{name} is shut out, its connections are closed; {country} gets in again under another name: see partners.{country}.link_user"
        )


@commands.command()
def readmit(
    country: Annotated[str, typer.Argument(help="The partner, such as af.")],
    *,
    config: ConfigOption,
    user: Annotated[str | None, typer.Option("--user", help="Its user, where it is not the one that exchange.toml names.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell whether it is shut out, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Undo a `shut` that was a mistake. Every certificate that bears the name gets in again, revoked or not; then run apply."""
    settings = load_settings(config)
    name = link_user_of(settings, country, user)
    with ManagementApi(settings.broker.management) as api:
        found = any(each.name == name for each in read_topology(api).shut) if dry_run else readmit_user(api, name)
    if as_json:
        print_json({"user": name, "was_shut": found, "done": found and not dry_run})
    else:
        done = "would be let in again" if dry_run else 'is no longer shut out: run "panj topology apply"'
        typer.echo(f"{name} {done if found else 'was not shut out'}")


@commands.command()
def render(
    config: ConfigOption,
    as_json: JsonOption = False,
    out: Annotated[Path | None, typer.Option("--out", help="A directory for definitions.json, rabbitmq.conf and enabled_plugins.")] = None,
) -> None:
    """Write what an operator may import instead of granting access to the management API; without --out, print definitions.json."""
    files = render_files(load_settings(config))
    if out is None:
        print_json(json.loads(files["definitions.json"]))
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    if as_json:
        print_json({"files": [out / name for name in files]})
    else:
        typer.echo(f"wrote {', '.join(files)} to {out}; import with: rabbitmqctl import_definitions {out / 'definitions.json'}")


def _pending(planned: TopologyDiff, *, remove: bool) -> TopologyDiff:
    return TopologyDiff(planned.pending(remove=remove), planned.shut)


def _findings(settings: Settings) -> tuple[Finding, ...]:
    with ManagementApi(settings.broker.management) as api:
        state = observe_broker(settings, api)
        return judge(settings, plan_topology(settings, api), state, of_links(settings, state))


def _patient_findings(settings: Settings, wait_seconds: float) -> tuple[Finding, ...]:
    last: list[tuple[Finding, ...]] = []

    def look() -> bool:
        last.append(_findings(settings))
        return bool(last[-1])

    Retrying(retry=retry_if_result(bool), stop=stop_after_delay(wait_seconds), wait=wait_fixed(1), retry_error_callback=lambda _: None)(
        look
    )
    if not last:
        raise UnavailableError("topology-management-unavailable", "the broker was not looked at in time")
    return last[-1]


def _show(difference: TopologyDiff, as_json: bool, *, done: bool, kept: tuple[Change, ...] = ()) -> None:
    if as_json:
        print_json(
            {
                "changes": [_document(change) for change in difference.changes],
                "kept": [_document(change) for change in kept],
                "shut": [asdict(user) for user in difference.shut],
            }
        )
        return
    for change in difference.changes:
        typer.echo(_line(change))
    changes = len(difference.changes)
    if not changes:
        typer.echo("nothing to do: the broker stands as exchange.toml says")
    else:
        typer.echo(f"{changes} {'change' if changes == 1 else 'changes'}{' made' if done else ''}")
    for user in difference.shut:
        typer.echo(f"! user {user.name}: {kept_out(user)}")
    if waiting := [change for change in kept or difference.changes if change.deliberate and not done] or list(kept):
        typer.echo(
            f"{len(waiting)} of what exchange.toml no longer names {'is' if len(waiting) == 1 else 'are'} kept unless --remove is given"
        )
        for change in kept:
            typer.echo(_line(change))


def _line(change: Change) -> str:
    sign = {Action.CREATE: "+", Action.CHANGE: "~", Action.REMOVE: "-", Action.CONFLICT: "!"}[change.action]
    name = " ".join((change.thing.kind, *change.thing.key))
    if change.action is Action.CREATE:
        return f"{sign} {name}"
    if change.action is Action.REMOVE:
        return f"{sign} {name}" + (f": {change.messages} messages wait in it" if change.messages else "")
    told = "; ".join(f"{key} {before!r} → {after!r}" for key, before, after in _differences(change))
    return f"{sign} {name}: " + ("cannot be changed, is left as it is: " if change.action is Action.CONFLICT else "") + told


def _differences(change: Change) -> list[tuple[str, object, object]]:
    before, after = _values(change.found), _values(change.wanted)
    return [
        (name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)
    ]


def _values(thing: Thing | None) -> dict[str, Any]:
    """Give a thing's properties one by one, a definition's entries among them."""
    values: dict[str, Any] = {} if thing is None else asdict(thing)
    return {name: value for name, value in values.items() if name != "definition"} | dict(values.get("definition", ()))


def _document(change: Change) -> dict[str, Any]:
    return {
        "action": change.action.value,
        "kind": change.thing.kind,
        "key": list(change.thing.key),
        "before": None if change.found is None else _values(change.found),
        "after": None if change.wanted is None else _values(change.wanted),
        "needs_remove": change.deliberate,
        "messages": change.messages,
    }
