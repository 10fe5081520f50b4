"""An integrator's consumer for tests of held events: a rule that needs a person, a fault that gets mended, and the loader of record."""

from __future__ import annotations

from consumers import consumer
from consumers.context import Batch, Context
from consumers.loaders.record import load_record
from schemas import CrossingEvent, ExportDeclaration, ImportDeclaration, TransitDeclaration

MENDED = {"fault": False}


@consumer((ExportDeclaration, ImportDeclaration, TransitDeclaration, CrossingEvent), queue="record")
def load_by_rules(batch: Batch, context: Context) -> None:
    """Hold what somebody must look at, fail over what is cursed until the fault is mended, refuse what is wrong; load the rest."""
    for event in batch:
        what = getattr(event.data, "local_reference", None)
        if what in ("look", "look-and-fail", "look-and-refuse"):
            context.hold(event, "valuation-check", "somebody must look at the value", value=event.data.invoice_amount)
        if what == "look-and-refuse":
            context.refuse(event, "value-implausible", "this value cannot be")
    for event in batch.accepted:
        what = getattr(event.data, "local_reference", None)
        if what == "look-and-fail" or (what == "cursed" and not MENDED["fault"]):
            raise ZeroDivisionError("exporter's secret name")
    load_record(batch, context)
