"""`panj post`: runs a border post, or sends files once. What it does stands in `post`, `sending` and `intake`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from broker.daemon import stop_on_signals
from broker.logs import configure
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.outbox.values import EventFate
from broker.settings.load import load_settings
from producers.examination import examine
from producers.formats.reading import LocatedProblem
from producers.intake import Intake
from producers.life import post_named
from producers.once import relay_once
from producers.post import opened_outbox, reader_of_post, run_post
from producers.reasons import told
from producers.recovery import recover
from producers.restoring import restore
from producers.sending import Sent, check_files, exit_code, parts_of_files, send_files
from producers.standing import status
from producers.tokens import token
from producers.views import reread
from producers.withdrawal import withdraw

commands = typer.Typer(name="post", help="The border post: run its daemon, send files, check its settings.", no_args_is_help=True)

PostOption = Annotated[str | None, typer.Option("--post", envvar="PANJ_POST", help="Which post of exchange.toml; the only one by default.")]


@commands.command()
def run(config: ConfigOption, post: PostOption = None) -> None:
    """Run the post: take declarations from its directory, relay them, collect receipts, until SIGTERM or Ctrl-C."""
    stop = stop_on_signals()
    settings = load_settings(config)
    configure(settings.log_format)
    run_post(settings, post_named(settings, post), stop)


@commands.command()
def send(
    files: Annotated[list[Path], typer.Argument(help="Declarations, in any format that the post reads.", show_default=False)],
    *,
    config: ConfigOption,
    post: PostOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Leave when the receipts are there.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")] = 60,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files and accept nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send files once, beside a running daemon or without one.

    Ends with 0 where all is well (with --wait: all loaded), 1 where something was rejected or refused, 3 where not all was in time.
    """
    settings = load_settings(config)
    name = post_named(settings, post)
    parts = parts_of_files(files, reader_of_post(settings, name))
    if dry_run:
        sent = check_files(parts, settings)
        fates: dict[str, EventFate] = {}
        code = exit_code(sent, fates, answers_needed=False)
    else:
        with opened_outbox(settings, name) as outbox:
            sent = send_files(parts, Intake(settings, settings.post_party(name), outbox).accept)
            fates, in_time = relay_once(settings, name, outbox, sent, timeout_seconds=timeout, wait=wait)
            suspended = outbox.held_back([one.event_id for one in sent if one.event_id])
        if suspended:
            text = "events are accepted, and leave when their suspension ends: see 'panj suspend list'"
            typer.echo(f"{len(suspended)} {text}", err=True)
        code = exit_code(sent, fates, answers_needed=wait) or (0 if in_time else 3)
    if as_json:
        print_json(_document(settings.post_party(name).urn, sent, fates))
    else:
        _print(sent, fates)
    raise typer.Exit(code)


@commands.command()
def check(config: ConfigOption, post: PostOption = None, as_json: JsonOption = False) -> None:
    """Check what the post needs before it runs: settings, releases, key and certificate, outbox, directory, our broker.

    Ends with 0 where all is there, with the error's own code where something is wrong, with 3 where only the broker does not answer.
    """
    settings = load_settings(config)
    name = post_named(settings, post)
    findings = list(examine(settings, name))
    if as_json:
        print_json([{"what": finding.what, "good": finding.good, "detail": finding.detail} for finding in findings])
    else:
        print_table(("", "what", "detail"), [("ok" if each.good else "WRONG", each.what, each.detail) for each in findings])
    raise typer.Exit(max((each.exit_code for each in findings), default=0))


commands.command("recover")(recover)
commands.command("reread")(reread)
commands.command("restore")(restore)
commands.command("withdraw")(withdraw)
commands.command("status")(status)
commands.command("token")(token)


def _document(post: str, sent: Sequence[Sent], fates: dict[str, EventFate]) -> dict[str, object]:
    return {"post": post, "declarations": [_row(one, fates) for one in sent]}


def _row(one: Sent, fates: dict[str, EventFate]) -> dict[str, object]:
    known = fates.get(one.event_id or "")
    problems = _problems(one, known)
    return {
        "file": one.file,
        "line": one.line,
        "reference": one.reference,
        "version": one.version,
        "destination": one.destination,
        "event_id": one.event_id,
        "sequence": one.sequence,
        "duplicate": one.duplicate,
        "copies": one.copies,
        "fate": _fate(one, known),
        "problems": [told(problem) for problem in problems],
    }


def _problems(one: Sent, known: EventFate | None) -> tuple[LocatedProblem, ...]:
    """What was wrong with it here, with its place in the file; or what the receiver told."""
    return one.problems or tuple(LocatedProblem(problem) for problem in (known.problems if known else ()))


def _fate(one: Sent, known: EventFate | None) -> str:
    """REJECTED here, GOOD in a dry run, ACCEPTED and not yet answered, or the fate that the receiver told."""
    if one.problems:
        return "REJECTED"
    if one.event_id is None:
        return "GOOD"
    if known is None:
        return "ACCEPTED"
    answer = known.fate or known.answered_fate
    return answer.value if answer else "ACCEPTED"


def _print(sent: Sequence[Sent], fates: dict[str, EventFate]) -> None:
    rows = []
    for one in sent:
        known = fates.get(one.event_id or "")
        problems = _problems(one, known)
        where = one.file if one.line is None else f"{one.file}:{one.line}"
        version = "" if one.version is None else str(one.version)
        fate = _fate(one, known) + (" (again)" if one.duplicate else "")
        rows.append((where, one.reference or "", version, one.destination or "", fate, one.copies, "\n".join(map(str, problems))))
    print_table(("file", "declaration", "version", "to", "fate", "copies", "problems"), rows)
