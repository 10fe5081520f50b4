"""The defences that a control does without. Each switches off one thing in the real code, from outside, before the daemon starts.

Where several are needed for a breach, that is the design: an outbox that sends again heals what a broker or a house forgets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog


def switch_off(defence: str) -> None:
    """Do without one defence. KeyError for one that is none."""
    DEFENCES[defence]()


def _put(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


# In any daemon.


def _deaf_to_sigterm() -> None:
    """SIGTERM ends the process where it stands."""
    from broker import daemon

    _put(daemon, "stop_on_signals", threading.Event)


# At a post.


def _any_clock() -> None:
    """A clock that stands before what was written down is as good as any."""
    from broker import clocks

    _put(clocks, "refuse_backwards", lambda *_: None)
    _put(clocks, "STEP", timedelta(days=10_000))


def _no_resends() -> None:
    from broker.relay.lane import Lane

    _put(Lane, "_send_again", lambda *_: None)


def _confirm_settles() -> None:
    """A publisher confirm is the end of an event, as most systems have it."""
    from sqlalchemy import update

    from broker.outbox import recording
    from broker.outbox.tables import outbox

    original = recording.record_relayed

    def record_relayed(connection: Any, relayed: Sequence[Any]) -> None:
        original(connection, relayed)
        for bundle in relayed:
            settled = update(outbox).where(outbox.c.position.in_(bundle.positions), outbox.c.settled_at_utc.is_(None))
            connection.execute(settled.values(settled_at_utc=bundle.relayed_at_utc, fate="LOADED"))

    _put(recording, "record_relayed", record_relayed)


def _backlog_in_memory() -> None:
    """Only what is accepted while the relay runs is relayed: what waited when it began is known to a dead process."""
    from broker.outbox.store import Outbox

    original = Outbox.waiting
    begun: dict[str, int] = {}

    def waiting(self: Any, destination: str, events: int, size: int, after: int = 0, *types: Any) -> list[Any]:
        if destination not in begun:
            everything = original(self, destination, 10**6, 10**12)
            begun[destination] = everything[-1].position if everything else 0
        return original(self, destination, events, size, max(after, begun[destination]), *types)

    _put(Outbox, "waiting", waiting)


def _moved_before_accepted() -> None:
    """A file is put aside first and accepted then; the half second between is there to be struck."""
    from producers.sources.directory import WatchedDirectory

    def finish(self: Any, batch: Any, turn: Any) -> None:
        for tally in batch.ended:
            self._shelve(tally, turn)
        if batch.ended:
            time.sleep(0.5)
        batch.ended.clear()
        batch.accept()

    _put(WatchedDirectory, "_finish", finish)


def _intake_forgets() -> None:
    """The same declaration is a new event each time: neither the look-up nor the table's key knows the former one."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import inspect

    from broker.outbox import acceptance, store
    from broker.outbox.engine import writing

    upgrade, key = vars(store)["upgrade"], "outbox_reference_version_destination_type_learned_unique"

    def upgrade_without_key(engine: Any) -> None:
        upgrade(engine)
        with writing(engine) as connection:
            if any(each["name"] == key for each in inspect(connection).get_unique_constraints("outbox")):  # dropped at a former start?
                with Operations(MigrationContext.configure(connection)).batch_alter_table("outbox") as table:
                    table.drop_constraint(key, type_="unique")

    _put(store, "upgrade", upgrade_without_key)
    _put(acceptance, "_look_up", lambda *_: {})


def _receipts_acked_first() -> None:
    """A receipt is acknowledged when it is taken, and written down then."""
    from broker.relay.relay import Relay

    original = Relay._record

    def record(self: Any, beacons: Any) -> None:
        if self._queues.acknowledge():
            time.sleep(0.05)  # until the connection's thread has sent it
        original(self, beacons)

    _put(Relay, "_record", record)


def _transient_messages() -> None:
    from broker.amqp import publishing

    _put(publishing, "_PERSISTENT", 1)


def _not_mandatory() -> None:
    """What finds no queue is thrown away by the broker, and confirmed."""
    from pika.channel import Channel

    original = Channel.basic_publish

    def basic_publish(self: Any, *arguments: Any, mandatory: bool = False, **named: Any) -> None:
        original(self, *arguments, mandatory=False, **named)

    _put(Channel, "basic_publish", basic_publish)


def _refusals_unheard() -> None:
    """A broker's nack counts as its confirm."""
    from broker.amqp.publishing import Publishing
    from broker.ports import Published

    original = Publishing._finish

    def finish(self: Any, tag: int, how: Any) -> None:
        original(self, tag, Published.CONFIRMED if how is Published.REFUSED else how)

    _put(Publishing, "_finish", finish)


def _no_beacon_gate() -> None:
    """What is not answered is sent again every second, whether or not anything comes back."""
    from broker.relay import lane
    from broker.relay.decisions import ResendDecision

    def due(*_: Any) -> Any:
        return ResendDecision.DUE

    send_again = lane.Lane._send_again

    def send_again_always(self: Any, sign: Any, now: Any) -> None:
        state = self.beacon
        self.beacon = replace(state, returned_mark=max(1, state.returned_mark))
        send_again(self, sign, now)
        self.beacon = replace(self.beacon, returned_mark=state.returned_mark)

    _put(lane, "due_for_resend", due)
    _put(lane.Lane, "_send_again", send_again_always)


def _migrations_by_parts() -> None:
    """Each step of a migration is committed by itself."""
    from alembic.operations import Operations

    original = Operations.invoke

    def invoke(self: Any, operation: Any) -> Any:
        result = original(self, operation)
        for statement in ("COMMIT", "BEGIN IMMEDIATE"):  # a post's SQLite
            self.get_bind().exec_driver_sql(statement)
        return result

    _put(Operations, "invoke", invoke)


def _renewal_unnoticed() -> None:
    """The pair that was read at the start is used until the end."""
    from broker.freshness import Freshness

    _put(Freshness, "_look_at_pair", lambda *_: None)


def _no_closings() -> None:
    from broker.relay import closing

    _put(closing, "reason_to_begin", lambda *_: None)
    _put(closing, "set_back", lambda *_: False)


def _houses_unasked() -> None:
    """A restored outbox begins a new life, and asks nobody what it had sent."""
    from producers import recovery

    _put(recovery, "houses_of", lambda *_: [])


def _signs_though_expired() -> None:
    from broker.relay import fitness

    _put(fitness, "_refuse_expired", lambda *_: None)


# In a customs house.


def _crls_unread() -> None:
    from broker.trust.crls import Crl

    _put(Crl, "revokes", lambda *_: False)


def _inbox_forgets() -> None:
    """Every arrival is fresh: neither the look-up nor the table's keys know what came before."""
    from consumers import held, inbox

    look_up, write_rows, hold = inbox.look_up, inbox.write_rows, held.hold
    known: set[str] = set()

    def write_new_rows(connection: Any, rows: Sequence[Any], moment: Any) -> None:
        known.clear()
        found = look_up(connection, [row.event_id for row in rows], [row.place for row in rows])
        known.update(row.event_id for row in found)
        write_rows(connection, [row for row in rows if row.event_id not in known], moment)

    def hold_new_rows(connection: Any, queue: str, held_now: Sequence[Any], moment: Any) -> None:
        hold(connection, queue, [pair for pair in held_now if pair[0] not in known], moment)

    _put(inbox, "look_up", lambda *_: [])
    _put(inbox, "write_rows", write_new_rows)
    _put(held, "hold", hold_new_rows)


def _two_transactions() -> None:
    """The handler's rows are committed by themselves, the inbox rows after them."""
    from consumers.pipeline import Pipeline

    original = Pipeline._load

    def load(self: Any, _: Any, fresh: Any) -> Any:
        with self.engine.begin() as apart:
            return original(self, apart, fresh)

    _put(Pipeline, "_load", load)


def _acks_first() -> None:
    """A delivery is acknowledged when it is taken, as AMQP's auto-ack does; the moment between is there to be struck."""
    from consumers.delivering import acknowledge
    from consumers.worker import Worker

    class Acknowledged:
        """Has nothing more to acknowledge."""

        def ack(self, _: Any) -> None:
            """Done already."""

    original = Worker._next_batch
    acknowledged: Any = Acknowledged()

    def next_batch(self: Any) -> list[Any]:
        batch = original(self)
        taken = [one for one in (*batch, *self._waiting) if not isinstance(one.subscription, Acknowledged)]
        acknowledge(taken)
        self._waiting = type(self._waiting)(replace(one, subscription=acknowledged) for one in self._waiting)
        if taken:
            time.sleep(0.3)
        return [replace(one, subscription=acknowledged) for one in batch]

    _put(Worker, "_next_batch", next_batch)


def _outage_is_a_fate() -> None:
    """The database's own trouble is taken for the fault of the event at hand."""
    from consumers import database

    _put(database, "is_away", lambda _: False)


def _batches_held() -> None:
    """What goes wrong in a batch is the fault of all of it."""
    from consumers import handling, pipeline
    from consumers.context import Declined
    from schemas.errors import Problem
    from schemas.fates import Fate

    def run_handler(connection: Any, consumer: Any, events: Sequence[Any]) -> dict[str, Any]:
        try:
            with connection.begin_nested():
                return dict(handling._call(connection, consumer, tuple(events))) if events else {}
        except Exception:  # noqa: BLE001  what is weakened is just this
            why = Problem(code="handler-surprise", text="the batch could not be loaded")
            return {event.id: Declined(Fate.HELD, (why,)) for event in events}

    _outage_is_a_fate()
    _put(pipeline, "run_handler", run_handler)


def _failures_dropped() -> None:
    """A batch that fails is logged and acknowledged, as a worker does that catches everything."""
    from consumers.pipeline import Pipeline

    _outage_is_a_fate()
    original = Pipeline._transact

    def transact(self: Any, *arguments: Any) -> Any:
        try:
            return original(self, *arguments)
        except Exception:  # noqa: BLE001  what is weakened is just this
            structlog.get_logger().exception("batch.dropped")
            return []

    _put(Pipeline, "_transact", transact)


def _nobody_suspects() -> None:
    """A delivery that came back several times is opened like any other."""
    from consumers.opening import InHand

    _put(InHand, "suspect", False)


DEFENCES: dict[str, Callable[[], None]] = {
    "sigterm": _deaf_to_sigterm,
    "resends": _no_resends,
    "receipts": _confirm_settles,
    "outbox": _backlog_in_memory,
    "accept-first": _moved_before_accepted,
    "intake-keys": _intake_forgets,
    "receipts-kept": _receipts_acked_first,
    "persistence": _transient_messages,
    "mandatory": _not_mandatory,
    "nacks": _refusals_unheard,
    "beacons": _no_beacon_gate,
    "whole-migrations": _migrations_by_parts,
    "clock": _any_clock,
    "renewal": _renewal_unnoticed,
    "closings": _no_closings,
    "recovery": _houses_unasked,
    "expiry": _signs_though_expired,
    "crls": _crls_unread,
    "inbox": _inbox_forgets,
    "one-transaction": _two_transactions,
    "late-acks": _acks_first,
    "batch-kept": _failures_dropped,
    "batch-apart": _batches_held,
    "suspects": _nobody_suspects,
}
