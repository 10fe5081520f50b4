"""What a post's closings add to `panj status`: how long ago each account was closed, what is under way, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from broker.operations.contributions import Attention, Reading
from broker.outbox.closing_values import Account
from broker.outbox.closings import ClosingLedger
from schemas.names import Party

LATE_PERIODS = 3  # so many periods without a closing need a look
LONG = timedelta(hours=2)  # a reconciliation that is under way for longer


def observe_accounts(party: Party, ledger: ClosingLedger, every_seconds: int, now_utc: datetime) -> Iterator[Reading]:
    """How a post stands with each house that it closes accounts with."""
    differing = Counter(difference.destination for difference in ledger.differences())
    for destination, account in ledger.accounts().items():
        subject = f"{party.unit} → {Party.of_urn(destination).unit}"
        yield from _last(subject, account, every_seconds, now_utc)
        if account.under_way and account.begun_at_utc is not None:
            age = now_utc - account.begun_at_utc
            advice = "the house has not agreed yet: is its daemon running, and the line up?" if age > LONG else ""
            attention = Attention.WATCH if age > LONG else Attention.FINE
            yield Reading(subject, "reconciliation under way", round(age.total_seconds(), 1), "s", attention, advice)
        if account.house_number is not None and account.house_number < account.number - 1:
            advice = 'its database was set back by a backup: "panj closings verify" there tells which it lacks; here are both signatures'
            yield Reading(subject, "closings that the house lacks", "gap", attention=Attention.WATCH, advice=advice)
        if differing[destination]:
            advice = '"panj reconcile" names them with both sides\' ids: nobody heals them by machine'
            yield Reading(subject, "closing differs", differing[destination], "events", Attention.ACT, advice)


def _last(subject: str, account: Account, every_seconds: int, now_utc: datetime) -> Iterator[Reading]:
    if account.agreed_at_utc is None:
        return
    age = now_utc - account.agreed_at_utc
    late = age > timedelta(seconds=LATE_PERIODS * every_seconds)
    advice = '"panj reconcile" tells what keeps it' if late else ""
    attention = Attention.WATCH if late else Attention.FINE
    yield Reading(subject, f"last agreed closing, number {account.number}", round(age.total_seconds(), 1), "s ago", attention, advice)
