"""The one catalogue of coded errors: what each code means and who must act. `docs/errors.md` is generated from it.

A code, once published, keeps its meaning for ever; a new meaning gets a new code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Actor(StrEnum):
    """Who must act."""

    SENDER = "the sending post"
    SENDER_OPERATOR = "the sender's operator"
    RECEIVER_OPERATOR = "the receiver's operator"
    OPERATOR = "the operator on the side that shows it"
    INTEGRATOR = "the integration team"
    NOBODY = "nobody: it heals by itself"


@dataclass(frozen=True, slots=True)
class Entry:
    """One code of the catalogue."""

    code: str
    meaning: str
    actor: Actor


_ENTRIES = (
    # --- content: what a trusted sender said cannot be loaded (REFUSED) ---
    Entry("field-missing", "a field that is needed is not there", Actor.SENDER),
    Entry("field-unknown", "a field that this version of the type does not have", Actor.SENDER),
    Entry("field-invalid", "a value has the wrong form, length or range", Actor.SENDER),
    Entry("code-unknown", "a code is not in its code list", Actor.SENDER),
    Entry("rule-broken", "fields contradict each other", Actor.SENDER),
    Entry("type-unknown", "the type is not part of this version of the protocol", Actor.INTEGRATOR),
    # --- json: the exact bytes are not strict JSON ---
    # --- trust: certificates, CRLs, signatures (PARKED) ---
    # --- bundle: a message that cannot be opened (PARKED) ---
    # --- settings: exchange.toml ---
    # --- topology: exchange.toml against the broker ---
    # --- amqp: the connection to the broker ---
    # --- outbox: the sender's durable table ---
    # --- intake: files and what may leave ---
    # --- customs: the customs house, its inbox and loaders ---
    # --- operations: commands ---
)

CATALOGUE: dict[str, Entry] = {entry.code: entry for entry in _ENTRIES}
