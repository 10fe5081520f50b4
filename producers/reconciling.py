"""`panj reconcile` at a post: wishes for closings go to the outbox, where the relay sees them; who relays, and what is decided, stands in
`broker.relay.closing`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from broker import audit
from broker.operations.reconcile import Differing, Reconciled, Request, StreamResult, chosen_posts
from broker.outbox.closing_values import Account, Difference, StreamRun, Wish
from broker.outbox.store import Outbox
from broker.relay.closing_decisions import begin
from broker.settings.model import Settings
from broker.trust.signing import b64url
from producers.once import relaying
from producers.post import opened_outbox
from schemas.closing import spans
from schemas.names import Party, house_of

POLL_SECONDS = 0.2


@dataclass(slots=True)
class _Asked:
    """One post, from when its closings are wanted, and with which houses (URN)."""

    name: str
    outbox: Outbox
    since_utc: datetime
    houses: list[str]
    relays: bool = False


def reconcile_posts(settings: Settings, request: Request) -> list[Reconciled]:
    """Close the accounts of this administration's posts that are on this machine, each with every house that it sent to."""
    with ExitStack() as opened:
        asked = []
        for name in chosen_posts(settings, request.post):
            outbox = opened.enter_context(opened_outbox(settings, name))
            lanes = {house_of(country).urn for country in settings.lanes}
            houses = [each for each in outbox.closings.houses() if each in lanes]
            asked.append(_Asked(name, outbox, outbox.closings.now(), houses))
        if request.dry_run:
            return [_planned(settings, each, house, request) for each in asked for house in each.houses]
        for each in asked:
            _ask(each, request)
        if request.wait:
            _wait(settings, asked, request)
        return [_result(settings, each, house) for each in asked for house in each.houses]


def _ask(each: _Asked, request: Request) -> None:
    wishes = [Wish(house, request.reason, each.since_utc, request.everything) for house in each.houses]
    acts = [
        audit.Act(audit.actor(), "reconciliation.asked", house, request.reason, {"everything": request.everything}) for house in each.houses
    ]
    each.outbox.ask_for_closings(wishes, acts)


def _wait(settings: Settings, asked: Sequence[_Asked], request: Request) -> None:
    """Wait until all have come to their end, relaying where nobody else does; tell how far they are."""
    until = time.monotonic() + request.timeout_seconds
    told: dict[tuple[str, str], str] = {}
    with ExitStack() as running:
        while True:
            waiting = False
            for each in asked:
                accounts = each.outbox.closings.accounts()
                for house in each.houses:
                    account = accounts.get(house, Account(house))
                    waiting |= not _ended(account, each.since_utc)
                    words = _progress(account, each.since_utc)
                    if told.get((each.name, house)) != words:
                        told[(each.name, house)] = words
                        request.tell(f"{settings.post_party(each.name).unit} → {Party.of_urn(house).unit}: {words}")
            if not waiting or time.monotonic() >= until:
                return
            for each in asked:
                if not each.relays and each.outbox.holder() is None:
                    running.enter_context(relaying(settings, each.name, each.outbox))
                    each.relays = True
            time.sleep(POLL_SECONDS)


def _ended(account: Account, since_utc: datetime) -> bool:
    return account.begun_at_utc is not None and account.begun_at_utc >= since_utc and not account.under_way


def _progress(account: Account, since_utc: datetime) -> str:
    if account.begun_at_utc is None or account.begun_at_utc < since_utc:
        return "an earlier closing is under way" if account.under_way else "waits for the post's relay"
    if not account.under_way:
        return f"closing {account.number} agreed"
    done, blocks = sum(run.agreed for run in account.streams), sum(_blocks(run) for run in account.streams)
    resent = sum(run.resent for run in account.streams)
    return f"{done} of {blocks} blocks agreed" + (f", {resent} events sent again" if resent else "")


def _blocks(run: StreamRun) -> int:
    return len(spans(run.start, run.target)) if run.start <= run.target else 0


def _result(settings: Settings, each: _Asked, house: str) -> Reconciled:
    account = each.outbox.closings.account(house)
    ours = account.begun_at_utc is not None and account.begun_at_utc >= each.since_utc
    differences = tuple(_differing(one) for one in each.outbox.closings.differences() if one.destination == house)
    return Reconciled(
        post=settings.post_party(each.name).urn,
        house=house,
        ended=_ended(account, each.since_utc),
        closing=account.number if ours and not account.under_way else None,
        said=_progress(account, each.since_utc),
        streams=tuple(_stream(run, run.differing) for run in account.streams) if ours else (),
        differences=differences,
    )


def _planned(settings: Settings, each: _Asked, house: str, request: Request) -> Reconciled:
    ledger = each.outbox.closings
    account = ledger.account(house)
    run = begin(account, request.reason, request.everything, ledger.known(house, account.horizon_seconds), each.since_utc)
    streams = tuple(_stream(one, 0) for one in run.streams) if run else ()
    said = f"would be compared: {sum(one.compared for one in streams)} blocks"
    return Reconciled(settings.post_party(each.name).urn, house, False, None, said, streams)


def _stream(run: StreamRun, differing: int) -> StreamResult:
    return StreamResult(run.type, run.epoch, _blocks(run), run.agreed, run.resent, differing)


def _differing(one: Difference) -> Differing:
    digests: Mapping[str, str | None] = {
        "digest": None if one.digest is None else b64url(one.digest),
        "house_digest": None if one.house_digest is None else b64url(one.house_digest),
    }
    return Differing(
        type=one.stream.type,
        epoch=one.stream.epoch,
        sequence=one.sequence,
        what=one.what.value,
        event_id=one.event_id,
        house_event_id=one.house_event_id,
        found_at_utc=one.found_at_utc,
        digest=digests["digest"],
        house_digest=digests["house_digest"],
    )
