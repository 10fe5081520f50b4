"""CRLs told by the customs house: its own authority's to the neighbours' houses and posts, and everybody's to its own posts.

On the start, when a newer one is there, once a day, and to each post that is heard for the first time. Who has it already ignores it.
What is told to whom is decided by pure functions; how a CRL travels stands in `broker.revocation`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import Engine

from broker.ports import Broker, Published
from broker.revocation import crl_message
from broker.settings.model import Settings
from broker.trust.anchors import TrustStore
from broker.trust.crls import HeldCrl
from broker.trust.keys import Signer
from consumers import known_posts
from consumers.clock import Clock, HouseClock, now_utc
from consumers.database import is_away
from schemas.errors import DistrustError, UsageError
from schemas.names import Party, house_of

log = structlog.get_logger()

AGAIN_SECONDS = 86_400.0  # a partner that was restored from a backup, or replaced, has it again after a day
RETRY_SECONDS = 5.0
UNROUTED_SECONDS = 60.0  # nobody is bound for it: a person mends the topology first
POSTS_SECONDS = 10.0  # how soon a post that is heard for the first time is told
HEARD_WITHIN = timedelta(days=30)  # a post that is silent for longer was closed


@dataclass(frozen=True, slots=True)
class Telling:
    """One CRL for one unit, through one lane."""

    lane: str
    to: Party
    crl: HeldCrl

    @property
    def key(self) -> tuple[str, str, str]:
        """To whom, and of which authority: a newer one takes its place."""
        return self.lane, self.to.urn, self.crl.issuer


@dataclass(frozen=True, slots=True)
class Told:
    """The last number that was told, and when it is due again at the latest (seconds, monotonic)."""

    number: int
    again_at: float


def tellings(own: str, lanes: Iterable[str], posts: Iterable[Party], held: Mapping[str, Sequence[HeldCrl]]) -> list[Telling]:
    """Everything that there is to tell: `posts` are our own and those known of each lane, `held` the CRLs by country."""
    found: list[Telling] = []
    listed = sorted(set(posts), key=lambda post: post.urn)
    for lane in lanes:
        if lane == own:
            found += [
                Telling(lane, post, crl) for post in listed if post.country == own for country in sorted(held) for crl in held[country]
            ]
        else:
            hearers = [house_of(lane), *(post for post in listed if post.country == lane)]
            found += [Telling(lane, to, crl) for to in hearers for crl in held.get(own, ())]
    return found


def due(wanted: Iterable[Telling], told: Mapping[tuple[str, str, str], Told], now: float) -> list[Telling]:
    """What is told now: what was not yet, a newer number, and what is due again."""
    return [one for one in wanted if (last := told.get(one.key)) is None or last.number < one.crl.number or now >= last.again_at]


class CrlTeller:
    """Tells CRLs. Used by one thread; publishing waits for nobody."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        trust: TrustStore,
        signer: Signer,
        brokers: Mapping[str, Broker],
        clock: Clock = now_utc,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._trust = trust
        self._signer = signer
        self._brokers = brokers
        self._clock = HouseClock.of(clock)
        self._told: dict[tuple[str, str, str], Told] = {}
        self._sending: list[tuple[Telling, Future[Published]]] = []
        self._own_posts = tuple(settings.post_party(name) for name in settings.posts)
        self._known: list[Party] = []
        self._known_at = float("-inf")
        self._learn_own_chain()

    def _learn_own_chain(self) -> None:
        """Judge our own certificate as others do: so the trust store knows our intermediates, whose CRLs are told too."""
        country = self._settings.country
        if country in self._trust.countries:
            try:
                self._trust.speaker(self._signer.identity.x5c, country, self._clock())
            except DistrustError as error:
                log.warning("certificate.untrusted", unit=self._settings.house_party.unit, code=error.code, reason=str(error))

    def look(self) -> None:
        """Take up how the last ones ended, and tell what is due."""
        now = time.monotonic()
        self._settle(now)
        if not self._clock.lets_sign(self._signer):
            return
        self._look_for_posts(now)
        held = {country: self._trust.held_crls(country) for country in self._trust.countries}
        wanted = tellings(self._settings.country, self._brokers, (*self._own_posts, *self._known), held)
        named = {one.key for one in wanted}
        self._told = {key: told for key, told in self._told.items() if key in named}
        under_way = {one.key for one, _ in self._sending}
        for one in due(wanted, self._told, now):
            if one.key not in under_way:
                self._tell(one, now)

    def _tell(self, one: Telling, now: float) -> None:
        moment = self._clock()
        self._told[one.key] = Told(one.crl.number, now + AGAIN_SECONDS)
        try:
            message = crl_message(one.crl, self._settings.house_party, one.to, self._settings.environment, self._signer.identity, moment)
        except UsageError as error:
            log.warning("crl.untold", lane=one.lane, to=one.to.urn, country=one.crl.country, number=one.crl.number, reason=str(error))
            return
        (future,) = self._brokers[one.lane].publish([message])
        self._sending.append((one, future))

    def _settle(self, now: float) -> None:
        still = []
        for one, future in self._sending:
            if not future.done():
                still.append((one, future))
                continue
            how = future.result()
            fields = {"lane": one.lane, "to": one.to.urn, "country": one.crl.country, "number": one.crl.number}
            if how is Published.CONFIRMED:
                log.info("crl.told", **fields)
            else:
                wait = UNROUTED_SECONDS if how is Published.RETURNED else RETRY_SECONDS
                self._told[one.key] = Told(one.crl.number, now + wait)
                log.info("crl.untold", **fields, how=how.value)
        self._sending = still

    def _look_for_posts(self, now: float) -> None:
        if now - self._known_at < POSTS_SECONDS:
            return
        self._known_at = now
        try:
            with self._engine.connect().execution_options(reads=True) as connection, connection.begin():
                self._known = known_posts.known(connection, self._clock() - HEARD_WITHIN)
        except Exception as error:
            if not is_away(error):
                raise
            # The database's trouble is told by those who need it; the posts that are known stay known.
