"""The closings with each post as the house keeps them, for `panj closings`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import select

from broker.operations.contributions import database_exists
from broker.operations.ledger import Closing, Ledger, Side
from broker.settings.model import Settings
from consumers.closing_tables import closing
from consumers.operations import reading
from schemas.names import Party


def ledgers(settings: Settings) -> Iterator[Ledger]:
    """The closings with each post, as the house keeps them."""
    if settings.house is None or not database_exists(settings.house.database):
        return
    by_source: dict[str, list[Closing]] = defaultdict(list)
    with reading(settings.house.database) as connection:
        rows = [] if connection is None else connection.execute(select(closing).order_by(closing.c.source, closing.c.number)).all()
        for row in rows:
            manifest = Side(bytes(row.manifest), bytes(row.manifest_digest), row.manifest_jws)
            answer = Side(bytes(row.answer), bytes(row.answer_digest), row.answer_jws)
            one = Closing(row.number, row.agreed, row.answered_at_utc, row.compared, row.differing, manifest, answer)
            by_source[row.source].append(one)
    house = settings.house_party
    for source, closings in by_source.items():
        yield Ledger(house, Party.of_urn(source), house, closings)
