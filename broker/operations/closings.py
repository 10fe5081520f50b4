"""`panj closings`: the accounts that posts closed with houses, each signed by both; listed, shown, verified without the other side.

What is checked stands in `ledger`; closings are made by `panj post run`, and asked for by `panj reconcile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from broker.operations.ledger import Closing, Ledger, Side, Verdict, court_of, examine, ledgers
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.settings.load import load_settings
from broker.settings.model import Settings
from broker.trust.signing import b64url, read_jws
from schemas import strict_json
from schemas.errors import ContentError, DistrustError, UsageError, cleaned
from schemas.event import utc_text

commands = typer.Typer(no_args_is_help=True, help="Closings: the chain of accounts between posts and houses, signed by both sides.")

UnitOption = Annotated[str | None, typer.Option("--unit", help="Only what this unit of ours keeps, such as tj-panji-poyon or tj-customs.")]
WithOption = Annotated[str | None, typer.Option("--with", metavar="UNIT", help="Only closings with this unit, such as af-customs.")]


@commands.command("list")
def list_closings(
    config: ConfigOption,
    unit: UnitOption = None,
    partner: WithOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The latest so many of each chain.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the closings that are kept here, the latest last; one that is not agreed to yet is the last of its chain."""
    rows = [(ledger, closing) for ledger in _chosen(load_settings(config), unit, partner) for closing in ledger.closings[-limit:]]
    if as_json:
        print_json([_summary(ledger, closing) for ledger, closing in rows])
        return
    print_table(
        ("kept by", "with", "number", "when (UTC)", "", "blocks"),
        [
            (
                ledger.keeper.unit,
                ledger.partner.unit,
                each.number,
                utc_text(each.at_utc)[:19].replace("T", " "),
                _state(each),
                each.compared,
            )
            for ledger, each in rows
        ],
    )


@commands.command("show")
def show(
    number: Annotated[int, typer.Argument(help="A closing's number.")],
    config: ConfigOption,
    unit: UnitOption = None,
    partner: WithOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what both sides said in one closing. With --json also their exact bytes and signatures."""
    found = [
        (ledger, each) for ledger in _chosen(load_settings(config), unit, partner) for each in ledger.closings if each.number == number
    ]
    if not found:
        raise UsageError("closing-unknown", "no such closing is kept here: 'panj closings list' shows them", value=number)
    if as_json:
        print_json([_whole(ledger, closing) for ledger, closing in found])
        return
    for ledger, closing in found:
        title = f"closing {closing.number} of {ledger.post.unit} with {ledger.house.unit}: {_state(closing)}"
        print_table(("", "", ""), list(_lines(closing)), title=title)


@commands.command("verify")
def verify(config: ConfigOption, unit: UnitOption = None, partner: WithOption = None, as_json: JsonOption = False) -> None:
    """Check the chains kept here: digests, both sides' signatures, numbers, and that each closing names the one before.

    Ends with 1 where anything does not hold or is missing. A gap is what a restored backup leaves, or somebody who removed a closing: the
    other side has both signatures.
    """
    settings = load_settings(config)
    court = court_of(settings)
    verdicts = [examine(ledger, court) for ledger in _chosen(settings, unit, partner)]
    if as_json:
        print_json([_verdict(verdict) for verdict in verdicts])
    else:
        print_table(("", "kept by", "with", "closings", "what is wrong"), [_verdict_row(verdict) for verdict in verdicts])
    if not all(verdict.whole for verdict in verdicts):
        raise typer.Exit(1)


def _chosen(settings: Settings, unit: str | None, partner: str | None) -> list[Ledger]:
    found = [each for each in ledgers(settings) if unit in (None, each.keeper.unit) and partner in (None, each.partner.unit)]
    if not found and (unit or partner):
        raise UsageError("closing-unknown", "no closings of these units are kept here", value=" with ".join(filter(None, (unit, partner))))
    return found


def _state(closing: Closing) -> str:
    if closing.agreed:
        return "agreed"
    return f"{closing.differing} blocks differ" if closing.answer else "not answered yet"


def _summary(ledger: Ledger, closing: Closing) -> dict[str, Any]:
    return {
        "kept_by": ledger.keeper.unit,
        "post": ledger.post.urn,
        "house": ledger.house.urn,
        "number": closing.number,
        "at_utc": utc_text(closing.at_utc),
        "agreed": closing.agreed,
        "answered": closing.answer is not None,
        "blocks": closing.compared,
        "differing_blocks": closing.differing,
        "manifest_digest": b64url(closing.manifest.digest),
        "answer_digest": None if closing.answer is None else b64url(closing.answer.digest),
    }


def _whole(ledger: Ledger, closing: Closing) -> dict[str, Any]:
    sides = {"manifest": closing.manifest, "answer": closing.answer}
    told = {name: None if side is None else {"event": side.raw.decode("utf-8", "replace"), "jws": side.jws} for name, side in sides.items()}
    return {**_summary(ledger, closing), **told}


def _lines(closing: Closing) -> list[tuple[object, ...]]:
    manifest = _data(closing.manifest)
    rows: list[tuple[object, ...]] = [
        ("stated", cleaned(str(manifest.get("closed_at"))), _signed(closing.manifest)),
        ("after", "the first one" if manifest.get("previous") is None else f"answer {cleaned(str(manifest['previous']))}", ""),
    ]
    for stream in manifest.get("streams", []):
        blocks = stream["blocks"]
        compared = f"compared {blocks[0]['first']} to {blocks[-1]['last']}, {len(blocks)} blocks" if blocks else "not compared this time"
        rows.append((cleaned(f"{stream['type']} {stream['epoch']}"), f"answered up to {stream['last']}", compared))
    if closing.answer is not None:
        rows.append(("answered", f"{_state(closing)}, answer {b64url(closing.answer.digest)}", _signed(closing.answer)))
    return rows


def _data(side: Side) -> dict[str, Any]:
    try:
        data: dict[str, Any] = strict_json.parse(side.raw)["data"]
    except (ContentError, KeyError):
        return {}
    return data


def _signed(side: Side) -> str:
    """When it was signed, as the signature itself says; `verify` tells whether it holds."""
    try:
        return f"signed {utc_text(read_jws(side.jws).signed_at_utc)}"
    except DistrustError as error:
        return f"its signature cannot be read: {error.problems[0]}"


def _wrong(verdict: Verdict) -> list[str]:
    gaps = [f"closings {first} to {last} are missing" if first < last else f"closing {first} is missing" for first, last in verdict.gaps]
    return [*gaps, *(f"closing {fault.number}: {fault.what}" for fault in verdict.faults)]


def _verdict(verdict: Verdict) -> dict[str, Any]:
    ledger = verdict.ledger
    return {
        "kept_by": ledger.keeper.unit,
        "post": ledger.post.urn,
        "house": ledger.house.urn,
        "whole": verdict.whole,
        "closings": verdict.closings,
        "gaps": [list(gap) for gap in verdict.gaps],
        "faults": [{"number": fault.number, "what": fault.what} for fault in verdict.faults],
    }


def _verdict_row(verdict: Verdict) -> Sequence[object]:
    wrong = _wrong(verdict)
    state = "whole" if verdict.whole else "BROKEN" if verdict.faults else "GAP"
    return (state, verdict.ledger.keeper.unit, verdict.ledger.partner.unit, verdict.closings, "\n".join(map(cleaned, wrong)))
