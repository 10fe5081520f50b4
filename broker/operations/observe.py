"""What `broker` contributes to `panj status`: links and queues, outboxes and beacons, certificates and CRLs. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from broker.clocks import STEP, clock_behind, watch_seconds
from broker.operations import flow
from broker.operations.contributions import Attention, Reading, database_exists
from broker.outbox.store import Outbox
from broker.outbox.values import BeaconState, Depth
from broker.settings.model import Settings
from broker.topology.observe import BrokerState, observe_broker
from broker.trust.anchors import TrustStore
from broker.trust.keys import read_certificates
from schemas.errors import PanjError
from schemas.event import utc_text
from schemas.names import Party

UNSETTLED_WATCH = timedelta(minutes=10)
UNSETTLED_ACT = timedelta(hours=1)
BEACON_WATCH = timedelta(minutes=5)
EXPIRY_WATCH = timedelta(days=30)
EXPIRY_ACT = timedelta(days=3)


def observe(settings: Settings) -> Iterator[Reading]:
    """Everything that the broker package knows of this administration; what cannot be read is itself a reading."""
    now = datetime.now(UTC)
    yield from _broker(settings)
    for name in sorted(settings.posts):
        yield from observe_post(settings, name, now)
    yield from _certificates(settings, now)


def _broker(settings: Settings) -> Iterator[Reading]:
    try:
        state = observe_broker(settings)
    except PanjError as error:
        yield Reading("broker", "management", error.code, attention=Attention.WATCH, advice=str(error))
        return
    for alarm in state.alarms:
        yield Reading("broker", "alarm", alarm, attention=Attention.ACT, advice="free memory or disk on the broker's machine")
    for link in state.links:
        advice = "" if link.running else f"{link.error or 'not running'}: nothing comes in from {link.partner} until it runs"
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
    finally:
        outbox.close()
    advice = "" if holder else f'its daemon does not run: "panj post run --post {party.name}"'
    yield Reading(party.unit, "relay", "running" if holder else "stopped", attention=_if(not holder, Attention.ACT), advice=advice)
    if newest is not None and newest - now > STEP:
        advice = clock_behind(now, newest).problems[0].text
        yield Reading(party.unit, "clock", f"before {utc_text(newest)}", attention=Attention.ACT, advice=advice)
    if holder:
        yield from flow.hindrances(party, hindrances, now)
    yield from flow.room(party, url, settings.relay, depths)
    for depth in depths:
        yield from _depth(party, depth, now)
    for state in beacons:
        yield from _beacon(party, state, now, settings.clock_tolerance_seconds)
    for stream in streams:
        yield Reading(
            f"{party.unit} → {_unit(stream.destination)}", f"stream {stream.type} {stream.epoch}", stream.last_sequence, "sequence"
        )
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


def _certificates(settings: Settings, now: datetime) -> Iterator[Reading]:
    pairs: list[tuple[str, Path]] = [(settings.post_party(name).unit, post.certificate) for name, post in sorted(settings.posts.items())]
    if settings.house is not None:
        pairs.append((settings.house_party.unit, settings.house.certificate))
        pairs += [(f"encryption to {settings.house_party.unit}", pair.certificate) for pair in settings.house.encryption[:1]]
    for country, partner in sorted(settings.partners.items()):
        pairs.append((f"link to {country}", partner.link.certificate))
        if partner.encryption_certificate is not None:
            pairs.append((f"encryption to {country}", partner.encryption_certificate))
    for subject, path in pairs:
        if not path.exists():
            yield Reading(subject, "certificate", "none here", advice=f"{path} is not on this machine")
            continue
        left = read_certificates(path)[0].not_valid_after_utc - now
        advice = f'issue a new one: "panj pki renew" ({path})' if left < EXPIRY_WATCH else ""
        yield Reading(subject, "certificate expires in", left.days, "days", _left(left), advice)
    for expiry in TrustStore.of(settings).expiries(now):
        subject = f"{expiry.kind} of {expiry.country}"
        if expiry.expires_at_utc is None:
            yield Reading(
                subject, "state", expiry.state, attention=Attention.ACT, advice="without it nothing of that country can be revoked"
            )
            continue
        left = expiry.expires_at_utc - now
        advice = "ask for a newer one" if left < EXPIRY_ACT else ""
        crl = expiry.kind == "crl"
        attention = _aged(-left, -EXPIRY_ACT, timedelta(0)) if crl else _left(left)
        yield Reading(subject, "expires in", left.days, "days", attention, advice)


def _left(left: timedelta) -> Attention:
    return _aged(-left, -EXPIRY_WATCH, -EXPIRY_ACT)


def _aged(age: timedelta, watch: timedelta, act: timedelta) -> Attention:
    if age > act:
        return Attention.ACT
    return Attention.WATCH if age > watch else Attention.FINE


def _if(wrong: bool, attention: Attention) -> Attention:
    return attention if wrong else Attention.FINE


def _unit(urn: str) -> str:
    return Party.of_urn(urn).unit
