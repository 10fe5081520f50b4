"""A consumer as a careless integration team would write it: whatever it is given it writes down, with no key that could repel a copy.

What the framework gives it twice therefore stands here twice. It loads the record as well, and does as the declarations tell it: some
are to be refused, some held, and of one the worker dies.
"""

from __future__ import annotations

import os
import signal

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, insert

from consumers.context import Batch, Context
from consumers.loaders.record.loader import load_record
from consumers.registry import consumer
from schemas.crossing import CrossingEvent
from schemas.declarations import ExportDeclaration, ImportDeclaration, TransitDeclaration

QUEUE, CROSSINGS = "record", "crossings"
REFUSED, HELD, DEADLY = "The house refuses this", "The house holds this", "The worker dies of this"

metadata = MetaData()
ledger = Table(
    "ledger",
    metadata,
    Column("entry", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False),
    Column("type", String(60), nullable=False),
    Column("reference", String(200), nullable=False),
    Column("version", Integer, nullable=False),
    Index("ledger_reference", "reference"),
)


@consumer((ExportDeclaration, ImportDeclaration, TransitDeclaration, CrossingEvent), queue=QUEUE)
def keep_ledger(batch: Batch, context: Context) -> None:
    """Load the record, and note every event that was loaded."""
    for event in batch:
        told = getattr(event.data, "exporter_name", None)
        if told == REFUSED:
            context.refuse(event, "faults-refused", "its exporter's name says so", field="exporter_name")
        elif told == HELD:
            context.hold(event, "faults-held", "its exporter's name says so", field="exporter_name")
        elif told == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
    load_record(batch, context)
    rows = [{"event_id": event.id, "type": event.type, "reference": event.reference, "version": event.version} for event in batch.accepted]
    if rows:
        context.transaction.execute(insert(ledger), rows)


# The same under another queue, for a house whose consumers are changed.
keep_crossings = consumer(CrossingEvent, queue=CROSSINGS)(keep_ledger)
