"""`@consumer`: what an integration team declares, kept as a value until the customs house runs it. Nothing is connected here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from broker.settings.model import ConsumerSettings
from schemas.content import MODELS, StreamData
from schemas.errors import SettingsError, UsageError
from schemas.limits import BUNDLE_EVENTS
from schemas.names import STREAM_TYPES, EventType

if TYPE_CHECKING:
    from consumers.context import Batch, Context

Handler = Callable[["Batch", "Context"], None]
HandlerT = TypeVar("HandlerT", bound=Callable[..., None])
MODEL_TYPES = {model: EventType(event_type) for event_type, model in MODELS.items() if event_type in STREAM_TYPES}


@dataclass(frozen=True, slots=True)
class Consumer:
    """A handler and what it takes: `queue` in every lane, events of `types`, at most `batch_size` at a time.

    `purposes`: for which its house reads them, as exchange.toml says; None for any.
    """

    queue: str
    types: tuple[EventType, ...]
    batch_size: int
    handler: Handler
    module: str
    purposes: frozenset[str] | None = None


_REGISTRY: dict[tuple[str, str], Consumer] = {}


def consumer(
    models: type[StreamData] | tuple[type[StreamData], ...], *, queue: str, batch_size: int = BUNDLE_EVENTS
) -> Callable[[HandlerT], HandlerT]:
    """Make a function the handler of these models' events; the function itself stays as it was.

    `queue` is a name such as "transit-risk", the same as in exchange.toml; the handler gets 1 to `batch_size` validated events at a
    time, in one transaction, and returns nothing. UsageError where the arguments make no sense.
    """
    wanted = models if isinstance(models, tuple) else (models,)
    unknown = [getattr(model, "__name__", repr(model)) for model in wanted if model not in MODEL_TYPES]
    if unknown or not wanted:
        allowed = ", ".join(sorted(model.__name__ for model in MODEL_TYPES))
        raise UsageError("consumer-model-unknown", f"a consumer takes one or several of {allowed}", value=", ".join(unknown))
    if not 1 <= batch_size <= BUNDLE_EVENTS:
        raise UsageError("consumer-batch-size", f"queue {queue!r}: batch_size lies between 1 and {BUNDLE_EVENTS}", value=batch_size)

    def register(handler: HandlerT) -> HandlerT:
        types = tuple(MODEL_TYPES[model] for model in wanted)
        _REGISTRY[(handler.__module__, queue)] = Consumer(queue, types, batch_size, handler, handler.__module__)
        return handler

    return register


def load_consumer(configured: ConsumerSettings) -> Consumer:
    """Import the configured module and give its consumer of the configured queue.

    SettingsError where the module cannot be imported, defines no consumer of that queue, or does not take a configured type.
    """
    try:
        importlib.import_module(configured.handler)
    except ImportError as error:
        text = f"house.consumers: the module of queue {configured.queue!r} cannot be imported: {error}"
        raise SettingsError("consumer-module-missing", text, field="handler", value=configured.handler) from error
    inside = configured.handler + "."
    found = [known for known in registered() if known.queue == configured.queue and (known.module + ".").startswith(inside)]
    if not found:
        text = f"house.consumers: {configured.handler} has no @consumer(…, queue={configured.queue!r})"
        raise SettingsError("consumer-missing", text, field="queue", value=configured.queue)
    untaken = [event_type.value for event_type in configured.types if event_type not in found[0].types]
    if untaken:
        text = f"house.consumers: the consumer of queue {configured.queue!r} does not take these types; add their models to its @consumer"
        raise SettingsError("consumer-type-untaken", text, field="types", value=", ".join(untaken))
    return replace(found[0], purposes=configured.purposes)


def registered() -> tuple[Consumer, ...]:
    """All consumers of the modules imported so far."""
    return tuple(_REGISTRY.values())
