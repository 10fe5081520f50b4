"""Suspensions of intake for `panj suspend`: kept in the house's database, where its workers see them with every batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from broker.operations.suspensions import Done, Listed
from broker.settings.model import Settings
from broker.suspension import Direction, Suspension
from consumers import suspensions
from consumers.database import open_engine
from consumers.house import house_of
from consumers.operations import reading
from schemas.errors import UnavailableError, UsageError


class IntakeBook:
    """The database of this administration's house."""

    direction = Direction.INTAKE

    def begin(self, settings: Settings, begun: Suspension, *, dry_run: bool) -> Done:
        """Begin one in the house's database."""
        house, scope = house_of(settings), begun.scope
        if scope.partner is not None and scope.partner not in settings.lanes:
            text = f"nothing comes from there; lanes are {', '.join(settings.lanes)}"
            raise UsageError("partner-unknown", text, field="--partner", value=scope.partner)
        if scope.post is not None and scope.partner is None:
            raise UsageError("suspend-arguments", "say whose post it is: --partner COUNTRY --post NAME", field="--post", value=scope.post)
        with reading(house.database) as connection:
            if connection is None:
                raise UnavailableError("suspension-nowhere", 'the house\'s database has no tables yet: start "panj customs run" once')
        if not dry_run:
            engine = open_engine(house.database)
            with engine.begin() as connection:
                suspensions.begin(connection, begun)
            engine.dispose()
        return Done((settings.house_party.unit,))

    def listed(self, settings: Settings, *, ended: bool) -> Sequence[Listed]:
        """Those in the house's database, and how much each holds."""
        if settings.house is None:
            return ()
        with reading(settings.house.database) as connection:
            found = [] if connection is None else suspensions.read(connection, ended=ended)
            unit = settings.house_party.unit
            return [Listed(Direction.INTAKE, unit, one, suspensions.holding(connection, one.id)) for one in found if connection is not None]

    def end(self, settings: Settings, suspension_id: str, actor: str, reason: str, now_utc: datetime, *, dry_run: bool) -> Done:
        """End it, where it is in force."""
        if settings.house is None:
            return Done()
        there = any(one.suspension.id == suspension_id and one.suspension.in_force(now_utc) for one in self.listed(settings, ended=False))
        if there and not dry_run:
            engine = open_engine(settings.house.database)
            with engine.begin() as connection:
                there = suspensions.end(connection, suspension_id, actor, reason, now_utc)
            engine.dispose()
        return Done((settings.house_party.unit,) if there else ())


BOOK = IntakeBook()
