"""Recording closings: wishes, reconciliations that begin, manifests that leave, answers that came.

Called within the store's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from broker.outbox.closing_progress import Found, agree, differ, finished, may_resend
from broker.outbox.closing_tables import account, closing, closing_difference, closing_stream
from broker.outbox.closing_values import Account, Different, ManifestAnswered, ManifestSent, RunBegun, StreamName, StreamRun, Wish
from broker.outbox.closings import account_of, answered, stream_lines
from broker.outbox.tables import outbox
from broker.statements import insert_missing
from broker.trust.signing import unb64url
from schemas.closing import Line, unequal
from schemas.content import validate
from schemas.control import Manifest, ManifestAnswer, ManifestDifference, ManifestLine
from schemas.names import EventType
from schemas.strict_json import parse

log = structlog.get_logger()

RESENT_AT_ONCE = 20_000  # events unsettled for one answer: what more is missing, the next one tells
_CLEARED = ("relayed_at_utc", "relayed_mark", "answered_fate", "settled_at_utc", "fate", "problems", "receipt_digest")


def record_wishes(connection: Connection, wishes: Sequence[Wish]) -> None:
    """Note that closings are wanted; the latest reason stands, and everything is everything."""
    for wish in wishes:
        _begin_account(connection, wish.destination)
        values = {"asked_at_utc": wish.asked_at_utc, "asked_reason": wish.reason}
        values["asked_everything"] = wish.everything or func.coalesce(account.c.asked_everything, False)
        connection.execute(update(account).where(account.c.destination == wish.destination).values(values))
        log.info("closing.asked", destination=wish.destination, reason=wish.reason, everything=wish.everything)


def record_runs(connection: Connection, begun: Sequence[RunBegun]) -> None:
    """Note that reconciliations begin; what was wished until then is granted by them."""
    for run in begun:
        _begin_account(connection, run.destination)
        here = account.c.destination == run.destination
        values = {"begun_at_utc": run.begun_at_utc, "reason": run.reason, "everything": run.everything, "finished_at_utc": None}
        connection.execute(update(account).where(here).values(**values, streams=_json(run.streams)))
        granted = {"asked_at_utc": None, "asked_reason": None, "asked_everything": None}
        connection.execute(update(account).where(here, account.c.asked_at_utc <= run.begun_at_utc).values(granted))
        log.info("closing.begun", destination=run.destination, reason=run.reason, everything=run.everything)


def record_manifests(connection: Connection, sent: Sequence[ManifestSent]) -> None:
    """Note manifests that leave now; one with the same number that was not agreed to makes room."""
    for one in sent:
        here = (closing.c.destination == one.destination) & (closing.c.number == one.number)
        moment = {"sent_at_utc": one.sent_at_utc, "sent_mark": one.mark, "manifest_jws": one.jws}
        if one.again:
            same = here & (closing.c.manifest_digest == one.digest)
            connection.execute(update(closing).where(same).values(**moment, sends=closing.c.sends + 1))
            continue
        connection.execute(delete(closing).where(here, closing.c.agreed.is_(False)))
        row = {"destination": one.destination, "number": one.number, "manifest_digest": one.digest, "manifest": one.raw}
        connection.execute(insert(closing), {**row, **moment, "sends": 1, "agreed": False, "compared": one.compared})


def record_answers(connection: Connection, answers: Sequence[ManifestAnswered], now: datetime) -> dict[str, int]:
    """Take up answers; give for each destination the lowest position that waits again, where any does."""
    waiting: dict[str, int] = {}
    for one in answers:
        position = _record_answer(connection, one, now)
        if position is not None:
            waiting[one.destination] = min(position, waiting.get(one.destination, position))
    return waiting


def _record_answer(connection: Connection, one: ManifestAnswered, now: datetime) -> int | None:
    about = (closing.c.destination == one.destination) & (closing.c.manifest_digest == (unb64url(one.said.manifest) or b""))
    row = connection.execute(select(closing).where(about, closing.c.number == one.said.number)).first()
    if row is None or row.answered_at_utc is not None:
        log.debug("closing.answered_again", destination=one.destination, number=one.said.number)
        return None
    kept = {"answered_at_utc": now, "answer_digest": one.digest, "answer": one.raw, "answer_jws": one.jws, "agreed": one.said.agreed}
    kept["differing"] = len(one.said.differences) + one.said.untold
    connection.execute(update(closing).where(about).values(kept))
    standing = account_of(connection, one.destination)
    _update(connection, standing, horizon_seconds=one.said.backup_horizon_seconds, house_number=one.said.last_number)
    manifest: Manifest = validate(EventType.MANIFEST, parse(bytes(row.manifest))["data"])
    if one.said.agreed:
        _agreed(connection, standing, one, manifest, now)
    elif one.said.overtaken:
        _overtaken(connection, standing, one.said)
    else:
        return _differed(connection, standing, one, manifest, now)
    return None


def _agreed(connection: Connection, standing: Account, one: ManifestAnswered, manifest: Manifest, now: datetime) -> None:
    streams = agree(standing.streams, manifest)
    done = finished(streams, answered(connection, standing.destination))
    chain = {"number": one.said.number, "answer_digest": one.digest, "agreed_at_utc": now}
    _update(connection, standing, **chain, streams=_json(streams), finished_at_utc=now if done else None)
    for stream in manifest.streams:
        if not stream.blocks:
            continue
        row = {"destination": standing.destination, "type": stream.type.value, "epoch": stream.epoch, "number": one.said.number}
        first, last = stream.blocks[0].first, stream.last
        connection.execute(insert(closing_stream), {**row, "first": first, "last": last, "agreed_at_utc": now, "holds_to": last})
        here = _differences_of(standing.destination, StreamName(stream.type, stream.epoch))
        ended = here & closing_difference.c.sequence.between(first, last) & closing_difference.c.ended_at_utc.is_(None)
        connection.execute(update(closing_difference).where(ended).values(ended_at_utc=now))
    if one.said.last_number != one.said.number - 1:
        log.warning("closing.house_set_back", destination=standing.destination, number=one.said.number, house_knew=one.said.last_number)
    log.info("closing.agreed", destination=standing.destination, number=one.said.number, finished=done)


def _overtaken(connection: Connection, standing: Account, said: ManifestAnswer) -> None:
    """The house knows later closings than we do, because we were set back: go on after them. Their bytes are the house's to show."""
    digest = None if said.last_digest is None else unb64url(said.last_digest)
    connection.execute(delete(closing).where(closing.c.destination == standing.destination, closing.c.number == said.number))
    _update(connection, standing, number=said.last_number, answer_digest=digest)
    log.warning("closing.overtaken", destination=standing.destination, number=said.number, house_number=said.last_number)


def _differed(connection: Connection, standing: Account, one: ManifestAnswered, manifest: Manifest, now: datetime) -> int | None:
    runs = {run.name: run for run in standing.streams}
    stated = {(stream.type, stream.epoch, block.first, block.last) for stream in manifest.streams for block in stream.blocks}
    found: list[Found] = []
    positions: list[int] = []
    room = RESENT_AT_ONCE
    for difference in one.said.differences:
        run = runs.get(StreamName(difference.type, difference.epoch))
        if run is None or (difference.type, difference.epoch, difference.first, difference.last) not in stated:
            continue  # not what was asked
        if difference.missing and room <= 0:
            continue  # the next answer tells it again
        resent, stray = _look_into(connection, standing.destination, run, difference)
        room -= len(resent)
        positions += resent[:1]
        _keep_differences(connection, standing.destination, run.name, stray, one.said.number, now)
        found.append(Found(difference, len(resent), len(stray)))
    _update(connection, standing, streams=_json(differ(standing.streams, found)))
    log.warning(
        "closing.differed",
        destination=standing.destination,
        number=one.said.number,
        blocks=len(one.said.differences) + one.said.untold,
        resent=sum(each.resent for each in found),
        differing=sum(each.differing for each in found),
    )
    return min(positions, default=None)


class _Stray(NamedTuple):
    """One place that is not the same on both sides."""

    sequence: int
    what: Different
    ours: Line | None
    theirs: ManifestLine | None


def _look_into(connection: Connection, destination: str, run: StreamRun, difference: ManifestDifference) -> tuple[list[int], list[_Stray]]:
    """Have what can be sent again wait again, and give its positions, rising; and what differs for good."""
    if difference.archived:
        return [], [_Stray(difference.first, Different.ARCHIVED, None, None)]
    if difference.held:
        ours = stream_lines(connection, destination, run.name, difference.first, difference.last)
        pairs = unequal(ours, difference.held)
        return [], [_Stray(sequence, Different.OTHER, mine, other) for sequence, mine, other in pairs]
    positions: list[int] = []
    strays: list[_Stray] = []
    for first, last in difference.missing:
        lines = {line.sequence: line for line in stream_lines(connection, destination, run.name, first, last)}
        sent: dict[int, int] = {}
        if may_resend(run, len(positions) + len(lines)):
            sent = _unsettle(connection, destination, run.name, first, last)
        positions += sent.values()
        lost = (sequence for sequence in range(first, last + 1) if sequence not in sent)
        strays += [_Stray(sequence, Different.LOST, lines.get(sequence), None) for sequence in lost]
    if positions:
        log.info("closing.resent", destination=destination, type=run.type, events=len(positions), first=difference.missing[0][0])
    return positions, strays


def _unsettle(connection: Connection, destination: str, name: StreamName, first: int, last: int) -> dict[int, int]:
    """Have the answered events of these places wait again, to be sent as the bytes they are; give their positions by sequence, rising.

    Not what was learned from the house itself: of that there are no bytes.
    """
    here = (outbox.c.destination == destination, outbox.c.type == name.type, outbox.c.epoch == name.epoch)
    answered_ones = or_(outbox.c.settled_at_utc.is_not(None), outbox.c.answered_fate.is_not(None))
    places = (*here, outbox.c.sequence.between(first, last), answered_ones, outbox.c.learned == 0)
    query = select(outbox.c.sequence, outbox.c.position).where(*places).order_by(outbox.c.sequence)
    positions = {row.sequence: row.position for row in connection.execute(query)}
    connection.execute(update(outbox).where(*places).values(dict.fromkeys(_CLEARED)))
    # What was agreed does not hold any more from there on: it has to be agreed again before it is pruned.
    agreed = (closing_stream.c.destination == destination) & (closing_stream.c.type == name.type) & (closing_stream.c.epoch == name.epoch)
    connection.execute(update(closing_stream).where(agreed, closing_stream.c.holds_to >= first).values(holds_to=first - 1))
    return positions


def _keep_differences(
    connection: Connection, destination: str, name: StreamName, strays: Sequence[_Stray], number: int, now: datetime
) -> None:
    """Write down what differs, each place once: found again, it is open again."""
    place = {"destination": destination, "type": name.type, "epoch": name.epoch}
    for stray in strays:
        here = _differences_of(destination, name) & (closing_difference.c.sequence == stray.sequence)
        connection.execute(delete(closing_difference).where(here))
        values = {
            "what": stray.what.value,
            "event_id": stray.ours.id if stray.ours else None,
            "digest": stray.ours.digest if stray.ours else None,
            "house_event_id": stray.theirs.id if stray.theirs else None,
            "house_digest": unb64url(stray.theirs.digest) if stray.theirs else None,
        }
        row = {**place, "sequence": stray.sequence, **values, "number": number, "found_at_utc": now}
        connection.execute(insert(closing_difference), row)


def _differences_of(destination: str, name: StreamName) -> ColumnElement[bool]:
    table = closing_difference.c
    return (table.destination == destination) & (table.type == name.type) & (table.epoch == name.epoch)


def _begin_account(connection: Connection, destination: str) -> None:
    connection.execute(insert_missing(account, connection.dialect.name), {"destination": destination})


def _update(connection: Connection, standing: Account, **values: Any) -> None:
    connection.execute(update(account).where(account.c.destination == standing.destination).values(values))


def _json(streams: Sequence[StreamRun]) -> list[dict[str, Any]]:
    return [run.model_dump() for run in streams]
