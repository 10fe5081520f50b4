"""Withdrawing: an unsettled event's place in its stream is filled with a signed tombstone instead. Called within the store's transaction.

A place, once given, is never vacated: the tombstone leaves even where the event never did, and the receipt for the event's own id and
digest settles the row, as REFUSED `withdrawn`, or as LOADED where it came too late.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from broker.audit import Act, append
from broker.bundle.pack import control_event
from broker.outbox.tables import audit, outbox
from broker.outbox.values import Life, WithdrawalStep, WithdrawalWish, Withdrawn
from broker.trust.signing import b64url
from schemas.control import Withdrawal
from schemas.errors import ConflictError, UsageError, shown
from schemas.event import utc_text
from schemas.fates import Fate
from schemas.names import EventType, Party

OPAQUE_REASON = "withdrawn by its sender"  # said where the event's subject is opaque: no more is said then in the clear


def withdraw(
    connection: Connection, life: Life, wish: WithdrawalWish, actor: str, now: datetime, *, dry_run: bool = False
) -> list[Withdrawn]:
    """Withdraw what the wish names; with `dry_run` only tell what would be done.

    UsageError `withdraw-unknown` where nothing of that name was accepted; ConflictError `withdraw-settled` where all of it is settled:
    then only a later version changes anything.
    """
    rows = _rows_of(connection, wish)
    if not rows:
        raise UsageError("withdraw-unknown", _unknown(wish), value=wish.reference)
    found = [_step_of(row) for row in rows]
    if all(one.step is WithdrawalStep.SETTLED for one in found):
        raise ConflictError("withdraw-settled", _settled(found), value=wish.reference)
    if not dry_run:
        for row, one in zip(rows, found, strict=True):
            if one.step is WithdrawalStep.WITHDRAWN:
                _withdraw_row(connection, life, row, one, wish.reason, actor, now)
    return found


def _rows_of(connection: Connection, wish: WithdrawalWish) -> Sequence[Any]:
    where = [outbox.c.reference == wish.reference]
    if wish.version is not None:
        where.append(outbox.c.version == wish.version)
    if wish.destination is not None:
        where.append(outbox.c.destination == wish.destination)
    # PostgreSQL: a receipt that is being recorded goes before; then the row is settled.
    return connection.execute(select(outbox).where(*where).order_by(outbox.c.position).with_for_update()).all()


def _step_of(row: Any) -> Withdrawn:
    if row.settled_at_utc is not None:
        step, stood = WithdrawalStep.SETTLED, f"settled {row.fate}"
    elif row.withdrawn_at_utc is not None:
        step, stood = WithdrawalStep.AGAIN, f"withdrawn {utc_text(row.withdrawn_at_utc)}, not answered yet"
    elif row.answered_fate is not None:
        step, stood = WithdrawalStep.WITHDRAWN, f"answered {row.answered_fate}"
    elif row.relayed_at_utc is not None:
        step, stood = WithdrawalStep.WITHDRAWN, "in flight"
    else:
        step, stood = WithdrawalStep.WITHDRAWN, "waiting"
    return Withdrawn(row.event_id, row.destination, row.type, row.reference, row.version, stood, step)


def _unknown(wish: WithdrawalWish) -> str:
    of = f" version {wish.version}" if wish.version is not None else ""
    to = f" for {Party.of_urn(wish.destination).unit}" if wish.destination else ""
    return f"nothing was accepted here as {shown(wish.reference)}{of}{to}: see 'panj trace'"


def _settled(found: Sequence[Withdrawn]) -> str:
    said = "; ".join(f"version {one.version} for {Party.of_urn(one.destination).unit} is {one.stood}" for one in found[:5])
    loaded = any(one.stood.endswith(Fate.LOADED) for one in found)
    do = "send a cancellation as the next version" if loaded else "it was not loaded, so there is nothing to withdraw"
    return f"{said}: {do}"


def _withdraw_row(connection: Connection, life: Life, row: Any, one: Withdrawn, reason: str, actor: str, now: datetime) -> None:
    tombstone = tombstone_of(life, row, reason, now)
    connection.execute(
        update(outbox)
        .where(outbox.c.position == row.position)
        .values(
            withdrawn_at_utc=now,
            withdrawal=tombstone,
            bytes=len(tombstone),
            # The tombstone has not been relayed, and what was answered so far was answered for the event.
            relayed_at_utc=None,
            relayed_mark=None,
            relays=0,
            answered_fate=None,
            receipt_digest=None,
            problems=None,
        )
    )
    detail = {
        "reference": row.reference,
        "version": row.version,
        "destination": row.destination,
        "place": f"{row.type} {row.epoch}/{row.sequence}",
        "stood": one.stood,
        "relays": row.relays,
    }
    append(connection, audit, Act(actor, "event.withdrawn", row.event_id, reason, detail), now)


def tombstone_of(life: Life, row: Any, reason: str, now: datetime) -> bytes:
    """Write the event that takes the place of a row's. It says of it no more than its own envelope did."""
    subject = str(json.loads(bytes(row.raw))["subject"]) if row.raw else row.reference  # what was learned has no bytes
    said = Withdrawal(
        id=row.event_id,
        digest=b64url(row.digest),
        type=row.type,
        epoch=row.epoch,
        sequence=row.sequence,
        reference=subject,
        version=max(row.version, 1),
        reason=reason if subject == row.reference else OPAQUE_REASON,
    )
    return control_event(
        EventType.WITHDRAWAL.value,
        Party.of_urn(life.source),
        Party.of_urn(row.destination),
        environment=life.environment,
        subject=subject,
        data=said,
        now=now,
    )
