"""What is wrong with our broker: drift, links that do not run, queues that nobody takes from, open doors. Pure judgement over values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from broker.settings.model import Settings
from broker.topology.diff import Action, Change, TopologyDiff
from broker.topology.observe import BrokerState, LinkState
from broker.topology.shut import ShutUser
from broker.trust.lifetimes import EXPIRED, Lifetime

SOON_DAYS = 14
_EXPIRED_SAYS = re.compile(r"certificate[ _]expired", re.IGNORECASE)  # Erlang's words for the TLS alert (RFC 8446 section 6.2)
_CLEAR = ("amqp", "mqtt", "stomp", "stream", "http")  # protocols that carry messages or passwords; not the broker's own clustering


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that needs a person: its code in the catalogue, what it is about, what is wrong and what to do."""

    code: str
    subject: str
    text: str


def judge(
    settings: Settings, differences: TopologyDiff, state: BrokerState, lifetimes: Sequence[Lifetime] = (), now_utc: datetime | None = None
) -> tuple[Finding, ...]:
    """Give all findings, drift first; none means that the broker stands and runs as exchange.toml says.

    `lifetimes` are those of certificates without which a link cannot be made; those that run out within `SOON_DAYS` are findings too.
    """
    now = now_utc or datetime.now(UTC)
    return (
        *(_drift(change) for change in differences.changes),
        *(Finding("topology-link-shut", f"user {user.name}", kept_out(user)) for user in differences.shut),
        *(_link(link, lifetimes, now) for link in state.links if not link.running),
        *_breaking(state, lifetimes, now),
        *_federation_queues(settings, state),
        *(Finding("topology-alarm", "broker", alarm) for alarm in state.alarms),
        *(Finding("topology-blocked", who, "the broker blocks this publisher: see its alarms") for who in state.blocked_connections),
        *_listeners(state),
    )


def kept_out(user: ShutUser) -> str:
    """Say that a user of exchange.toml is not made again, and how its partner gets in."""
    advice = f"to let the partner in, issue a certificate with another name and set partners.{user.name[5:7]}.link_user to it"
    return f"stays shut (since {user.at}, by {user.by}: {user.reason}); {advice}"


def _drift(change: Change) -> Finding:
    name = " ".join((change.thing.kind, "/".join(change.thing.key))).strip()
    said = {
        Action.CREATE: 'is missing: run "panj topology apply"',
        Action.CHANGE: 'is not as exchange.toml says: run "panj topology apply"',
        Action.REMOVE: "is not in exchange.toml: "
        + ('"panj topology apply --remove" removes it' if change.deliberate else 'run "panj topology apply"'),
        Action.CONFLICT: "has other properties, which cannot be changed: empty and delete it by hand, then apply",
    }
    waiting = f" ({change.messages} messages wait in it)" if change.messages else ""
    return Finding("topology-drift", name, said[change.action] + waiting)


def _link(link: LinkState, lifetimes: Sequence[Lifetime], now: datetime) -> Finding:
    reason = f": {link.error[:300]}" if link.error else ""
    subject = f"link to {link.partner}"
    if why := why_down(link, lifetimes, now):
        return Finding("topology-link-expired", subject, f"is {link.status}, because {why}")
    return Finding("topology-link-down", subject, f"is {link.status}{reason}")


def why_down(link: LinkState, lifetimes: Sequence[Lifetime], now: datetime) -> str | None:
    """Say which certificate ran out, where that is why a link does not run; None where it is not, as far as we can know."""
    if link.running:
        return None
    expired = [life for life in lifetimes if life.link == f"link to {link.partner}" and life.threshold(now) == EXPIRED]
    if expired:
        told = (f"the {life.kind} ran out on {life.until_utc:%Y-%m-%d %H:%M} UTC: {life.renewal}" for life in expired)
        return "; ".join(told)
    if link.error and _EXPIRED_SAYS.search(link.error):
        return f"a certificate ran out, says the broker: ours for the link, or that of the broker of {link.partner}"
    return None


def _breaking(state: BrokerState, lifetimes: Sequence[Lifetime], now: datetime) -> Iterator[Finding]:
    """What still stands and cannot be made again soon, or now already: TLS looks at certificates only when a connection is made."""
    down = {f"link to {link.partner}" for link in state.links if not link.running}
    for life in lifetimes:
        passed = life.threshold(now)
        if life.link is None or passed is None or passed > SOON_DAYS or (passed == EXPIRED and life.link in down):
            continue
        on = f"{life.until_utc:%Y-%m-%d %H:%M} UTC"
        if passed == EXPIRED:
            text = f"its {life.kind} ran out on {on}: the link breaks for good when it is cut next: {life.renewal}"
        else:
            text = f"its {life.kind} runs out on {on} ({life.left(now).days} days): then the link breaks at the next cut: {life.renewal}"
        yield Finding("topology-link-expiring", life.link, text)


def _federation_queues(settings: Settings, state: BrokerState) -> list[Finding]:
    findings = []
    for partner in sorted(settings.partners):
        queues = [queue for queue in state.federation_queues if queue.lane == partner]
        if not queues:
            text = "has never connected to our broker: what we publish for it stays in the outboxes"
            findings.append(Finding("topology-partner-away", f"partner {partner}", text))
        for queue in queues:
            if queue.consumers == 0:
                text = f"nobody takes from it ({queue.ready} bundles wait): the partner's link is away, or it renamed its broker"
                findings.append(Finding("topology-partner-away", f"queue {partner}/{queue.name}", text))
    return findings


def _listeners(state: BrokerState) -> list[Finding]:
    text = 'is open beyond this machine without TLS: set listeners.tcp = none (see "panj topology render")'
    return [
        Finding("topology-listener-open", f"listener {each.protocol} {each.address}:{each.port}", text)
        for each in state.listeners
        if not each.tls and not each.is_loopback and each.protocol in _CLEAR
    ]
