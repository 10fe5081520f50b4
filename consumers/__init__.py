"""The receiving customs: what an integration team needs stands here; `docs/integrators-first-consumer.md` shows it at work."""

from consumers.context import Batch, Context, ReceivedEvent
from consumers.registry import consumer

__all__ = ["Batch", "Context", "ReceivedEvent", "consumer"]
