"""How a reconciliation goes on when the house has answered, as pure functions over values. What is sent when: `broker.relay.closing`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from broker.outbox.closing_values import StreamName, StreamRun
from schemas.control import Manifest, ManifestDifference

RESENT_TIMES = 3  # a house that lacks the same events again and again is not sent them for ever
RESENT_SPARE = 1_000


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one difference: how many events are sent again, and how many differ for good."""

    difference: ManifestDifference
    resent: int
    differing: int

    @property
    def name(self) -> StreamName:
        """Its stream."""
        return StreamName(self.difference.type, self.difference.epoch)


def agree(streams: Sequence[StreamRun], manifest: Manifest) -> tuple[StreamRun, ...]:
    """The house has agreed to this manifest: what it compared is done."""
    compared = {StreamName(stream.type, stream.epoch): stream for stream in manifest.streams if stream.blocks}
    changed = []
    for run in streams:
        stream = compared.get(run.name)
        if stream is not None:
            run = run.model_copy(update={"done": max(run.done, stream.last), "agreed": run.agreed + len(stream.blocks)})  # noqa: PLW2901
        changed.append(run)
    return tuple(changed)


def finished(streams: Iterable[StreamRun], answered: Mapping[StreamName, int]) -> bool:
    """Whether nothing is left that could be stated now."""
    return all(run.done >= min(run.goal, answered.get(run.name, 0)) for run in streams)


def may_resend(run: StreamRun, events: int) -> bool:
    """Whether so many events may be sent again, after what was in this reconciliation."""
    return run.resent + events <= RESENT_TIMES * run.target + RESENT_SPARE


def differ(streams: Sequence[StreamRun], found: Sequence[Found]) -> tuple[StreamRun, ...]:
    """The house told differences. While any of them can be healed that is done first; what is left then is what people must settle:

    a stream is stated up to the first such block, so that everything else still closes.
    """
    resent: dict[StreamName, int] = {}
    for each in found:
        resent[each.name] = resent.get(each.name, 0) + each.resent
    healing = any(resent.values())
    changed = []
    for run in streams:
        update: dict[str, int] = {"resent": run.resent + resent.get(run.name, 0)}
        firsts = [each.difference.first for each in found if each.name == run.name and each.differing]
        if firsts and not healing:
            differing = sum(each.differing for each in found if each.name == run.name)
            update |= {"ceiling": min(run.goal, min(firsts) - 1), "differing": run.differing + differing}
        changed.append(run.model_copy(update=update))
    return tuple(changed)
