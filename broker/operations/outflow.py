"""Suspensions of outflow for `panj suspend`: kept in the outboxes of this administration's posts, where their relays see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from broker.operations.contributions import database_exists
from broker.operations.suspensions import Done, Listed
from broker.outbox.store import Outbox
from broker.settings.model import Settings
from broker.suspension import Direction, Scope, Suspension
from schemas.errors import UnavailableError, UsageError


class OutflowBook:
    """The outboxes that are on this machine."""

    direction = Direction.OUTFLOW

    def begin(self, settings: Settings, begun: Suspension, *, dry_run: bool) -> Done:
        """Begin one in the outboxes of the post that it names, or of all posts."""
        scope = begun.scope
        if scope.partner is not None and scope.partner not in settings.lanes:
            text = f"nothing leaves for there; destinations are {', '.join(settings.lanes)}"
            raise UsageError("partner-unknown", text, field="--partner", value=scope.partner)
        if scope.post is not None and scope.post not in settings.posts:
            text = f"exchange.toml has no such post; it has: {', '.join(sorted(settings.posts))}"
            raise UsageError("post-unknown", text, field="--post", value=scope.post)
        names = [scope.post] if scope.post is not None else sorted(settings.posts)
        here = [name for name in names if database_exists(settings.posts[name].outbox)]
        if not here:
            text = "none of these posts has its outbox on this machine, or none was started yet: run it where they are"
            raise UnavailableError("suspension-nowhere", text, value=", ".join(names))
        for name in here if not dry_run else ():
            with _outbox(settings, name) as outbox:
                outbox.suspend(replace(begun, scope=Scope(scope.partner, None, scope.type)))
        units = [settings.post_party(name).unit for name in here]
        return Done(tuple(units), tuple(settings.post_party(name).unit for name in names if name not in here))

    def listed(self, settings: Settings, *, ended: bool) -> Sequence[Listed]:
        """Those in the outboxes on this machine."""
        found = []
        for name in sorted(settings.posts):
            if database_exists(settings.posts[name].outbox):
                with _outbox(settings, name) as outbox:
                    found += listed_in(outbox, settings.post_party(name).unit, ended=ended)
        return found

    def end(self, settings: Settings, suspension_id: str, actor: str, reason: str, now_utc: datetime, *, dry_run: bool) -> Done:
        """End it in each outbox on this machine that has it."""
        places = []
        for name in sorted(settings.posts):
            if not database_exists(settings.posts[name].outbox):
                continue
            with _outbox(settings, name) as outbox:
                there = any(one.id == suspension_id and one.in_force(now_utc) for one in outbox.suspensions())
                if there and (dry_run or outbox.end_suspension(suspension_id, actor, reason)):
                    places.append(settings.post_party(name).unit)
        return Done(tuple(places))


def listed_in(outbox: Outbox, unit: str, *, ended: bool = False) -> list[Listed]:
    """The suspensions of one outbox, and how much waits under each."""
    return [
        Listed(Direction.OUTFLOW, unit, one, outbox.count_waiting(one.scope) if one.ended_at_utc is None else 0)
        for one in outbox.suspensions(ended=ended)
    ]


@contextmanager
def _outbox(settings: Settings, name: str) -> Iterator[Outbox]:
    outbox = Outbox.open(settings.posts[name].outbox, settings.post_party(name), settings.environment)
    try:
        yield outbox
    finally:
        outbox.close()


BOOK = OutflowBook()
