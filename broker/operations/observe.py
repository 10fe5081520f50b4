"""What `broker` contributes to `panj status`: links and queues, outboxes and beacons, certificates and CRLs. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from broker.clocks import STEP, clock_behind, watch_seconds
from broker.operations import flow
from broker.operations.closing_status import observe_accounts
from broker.operations.contributions import Attention, Reading, database_exists
from broker.operations.copy_status import of_copy
from broker.operations.expiries import of_administration, of_links
from broker.operations.outflow import listed_in
from broker.operations.recovery_status import standing
from broker.operations.suspensions import reading_of
from broker.outbox.store import Outbox
from broker.outbox.values import BeaconState, Depth
from broker.settings.model import Settings
from broker.topology.check import why_down
from broker.topology.observe import BrokerState, observe_broker
from broker.trust.anchors import TrustStore
from broker.trust.lifetimes import EXPIRED, THRESHOLDS, Lifetime, files_of
from schemas.errors import PanjError
from schemas.event import utc_text
from schemas.names import Party

UNSETTLED_WATCH = timedelta(minutes=10)
UNSETTLED_ACT = timedelta(hours=1)
BEACON_WATCH = timedelta(minutes=5)


def observe(settings: Settings) -> Iterator[Reading]:
    """Everything that the broker package knows of this administration; what cannot be read is itself a reading."""
    now = datetime.now(UTC)
    state = _state(settings)
    known = state if isinstance(state, BrokerState) else None
    yield from (state,) if isinstance(state, Reading) else _broker(settings, state, now)
    for name in sorted(settings.posts):
        yield from observe_post(settings, name, now)
    yield from _expiries(settings, known, now)


def _state(settings: Settings) -> BrokerState | Reading:
    try:
        return observe_broker(settings)
    except PanjError as error:
        return Reading("broker", "management", error.code, attention=Attention.WATCH, advice=str(error))


def _broker(settings: Settings, state: BrokerState, now: datetime) -> Iterator[Reading]:
    for alarm in state.alarms:
        yield Reading("broker", "alarm", alarm, attention=Attention.ACT, advice="free memory or disk on the broker's machine")
    lifetimes = of_links(settings, state) if any(not link.running for link in state.links) else []
    for link in state.links:
        why = why_down(link, lifetimes, now) or link.error or "not running"
        advice = "" if link.running else f"{why}: nothing comes in from {link.partner} until it runs"
        yield Reading(f"link to {link.partner}", "status", link.status, attention=_if(not link.running, Attention.ACT), advice=advice)
    for who in state.blocked_connections:
        yield Reading("broker", "blocked", who, attention=Attention.ACT, advice="it waits for the alarm to end; nothing is lost")
    yield from _queues(state, settings)


def _queues(state: BrokerState, settings: Settings) -> Iterator[Reading]:
    for queue in state.queues:
        if queue.is_federation and queue.lane in settings.partners:
            full = flow.fill(queue, settings.partners[queue.lane].link.federation_queue_max_bytes)
            if full is not None:
                yield full
        subject = f"queue {queue.lane}/{queue.name}"
        waits = queue.ready + queue.unacknowledged
        alone = not queue.consumers
        advice = ""
        if alone:
            advice = "the partner's broker does not pull from it" if queue.is_federation else "nobody takes from it: start its daemon"
        yield Reading(subject, "depth", waits, "bundles", _if(alone, Attention.ACT if waits else Attention.WATCH), advice)


def observe_post(settings: Settings, name: str, now: datetime) -> Iterator[Reading]:
    """What the outbox of one post says, where it lies on this machine."""
    party, url = settings.post_party(name), settings.posts[name].outbox
    if not database_exists(url):
        yield Reading(party.unit, "outbox", "none here", advice="this post runs on another machine, or has not been started yet")
        return
    outbox = Outbox.open(url, party, settings.environment)
    try:
        holder = outbox.holder()
        depths, beacons, streams = outbox.counts(), outbox.beacons(), outbox.streams()
        parked, newest, hindrances = outbox.parked_control(), outbox.newest(), outbox.hindrances()
        recovery, copy = outbox.recovery(), outbox.copy_standing()
        suspended = listed_in(outbox, party.unit)
        closings = list(observe_accounts(party, outbox.closings, settings.closing.every_seconds, now))
    finally:
        outbox.close()
    yield from standing(party, recovery)
    if settings.posts[name].second_copy is not None:
        yield from of_copy(party, copy, now, relayed=holder is not None)
    advice = "" if holder else f'its daemon does not run: "panj post run --post {party.name}"'
    yield Reading(party.unit, "relay", "running" if holder else "stopped", attention=_if(not holder, Attention.ACT), advice=advice)
    if newest is not None and newest - now > STEP:
        advice = clock_behind(now, newest).problems[0].text
        yield Reading(party.unit, "clock", f"before {utc_text(newest)}", attention=Attention.ACT, advice=advice)
    if holder:
        yield from flow.hindrances(party, hindrances, now)
    yield from (reading_of(one, now) for one in suspended if one.suspension.in_force(now))
    yield from flow.room(party, url, settings.relay, depths)
    for depth in depths:
        yield from _depth(party, depth, now)
    for state in beacons:
        yield from _beacon(party, state, now, settings.clock_tolerance_seconds)
    for stream in streams:
        yield Reading(
            f"{party.unit} → {_unit(stream.destination)}", f"stream {stream.type} {stream.epoch}", stream.last_sequence, "sequence"
        )
    yield from closings
    if parked:
        advice = "somebody sent this post a control message that is not to be trusted: its log names the code"
        yield Reading(party.unit, "control messages parked", len(parked), "messages", Attention.WATCH, advice)


def _depth(party: Party, depth: Depth, now: datetime) -> Iterator[Reading]:
    subject = f"{party.unit} → {_unit(depth.destination)}"
    oldest = min((each for each in (depth.oldest_waiting_utc, depth.oldest_in_flight_utc) if each), default=None)
    age = now - oldest if oldest else timedelta(0)
    attention = _aged(age, UNSETTLED_WATCH, UNSETTLED_ACT)
    advice = "the other side has not answered for long: see the link and the beacon" if attention else ""
    yield Reading(subject, "outbox depth", depth.waiting, "events")
    yield Reading(subject, "receipts outstanding", depth.in_flight, "events")
    yield Reading(subject, "oldest unsettled", age.total_seconds() if oldest else None, "s", attention, advice)
    yield Reading(subject, "held over there", depth.held, "events", _if(depth.held > 0, Attention.WATCH))
    if depth.withdrawing:
        yield Reading(subject, "withdrawals not answered yet", depth.withdrawing, "events", Attention.WATCH)
    if depth.withdrawn_late:
        advice = 'loaded before they were withdrawn: send a cancellation of each as its next version; "panj trace" tells which'
        yield Reading(subject, "withdrawn too late", depth.withdrawn_late, "events", Attention.ACT, advice)
    refused = "correct them as new versions: panj trace tells the reasons" if depth.refused else ""
    yield Reading(subject, "refused", depth.refused, "events", advice=refused)
    strays = depth.receipts_mismatched + depth.receipts_contradicted
    if strays:
        yield Reading(
            subject, "receipts that settle nothing", strays, "answers", Attention.ACT, "ask the house why: the log names the events"
        )


def _beacon(party: Party, state: BeaconState, now: datetime, tolerance_seconds: int) -> Iterator[Reading]:
    subject = f"{party.unit} → {_unit(state.destination)}"
    returned = state.returned_at_utc
    age = now - returned if returned else None
    late = state.sent_mark > state.returned_mark and (age is None or age > BEACON_WATCH)
    advice = "nothing comes back: the line, a broker or the house's daemon is away" if late else ""
    yield Reading(subject, "beacon's last return", age.total_seconds() if age else None, "s ago", _if(late, Attention.ACT), advice)
    if state.skew is not None:
        off = abs(state.skew.at_least)
        attention = _aged(timedelta(seconds=off), timedelta(seconds=watch_seconds(tolerance_seconds)), timedelta(seconds=tolerance_seconds))
        advice = f"give or take {state.skew.error_seconds:.1f} s"
        if attention:
            advice += ": one of the two clocks is wrong, set it" + (": beyond the tolerance" if off > tolerance_seconds else "")
        yield Reading(subject, "clock of the house against ours", round(state.skew.seconds, 1), "s", attention, advice)


def _expiries(settings: Settings, state: BrokerState | None, now: datetime) -> Iterator[Reading]:
    """What runs out, what is not on this machine, and whose CRL is missing or stale."""
    for file in files_of(settings):
        if file.lifetime() is None:
            yield Reading(file.subject, file.kind, "none here", advice=f"{file.path} is not on this machine, or not for this user to read")
    for expiry in TrustStore.of(settings).expiries(now):
        if expiry.state in ("missing", "stale"):
            stale = "what its units sign is parked until the next one comes"
            advice = stale if expiry.state == "stale" else "without it nothing of that country can be revoked"
            yield Reading(f"{expiry.kind} of {expiry.country}", "state", expiry.state, attention=Attention.ACT, advice=advice)
    for life in of_administration(settings, state, now):
        passed = life.threshold(now)
        advice = "" if passed is None else life.renewal
        if life.link is not None and passed is not None:
            advice = f"{'the link cannot be made any more' if passed == EXPIRED else 'then the link breaks at the next cut'}: {advice}"
        yield Reading(life.subject, f"{life.kind} expires in", life.left(now).days, "days", _urgency(life, passed), advice)


def _urgency(life: Lifetime, passed: int | None) -> Attention:
    """A CRL alarms when it has run out, and not before: until then a newer one may come at any moment."""
    if passed is None:
        return Attention.FINE
    return Attention.ACT if passed == EXPIRED or (passed <= THRESHOLDS[-1] and life.kind != "crl") else Attention.WATCH


def _aged(age: timedelta, watch: timedelta, act: timedelta) -> Attention:
    if age > act:
        return Attention.ACT
    return Attention.WATCH if age > watch else Attention.FINE


def _if(wrong: bool, attention: Attention) -> Attention:
    return attention if wrong else Attention.FINE


def _unit(urn: str) -> str:
    return Party.of_urn(urn).unit
