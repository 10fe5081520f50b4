"""The opening code under fire: changed bundles by the hundred thousand, in several processes, each with a memory that is bounded."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.attacks.opening import changes, company, content, signatures
from tests.attacks.opening.changes import Change
from tests.attacks.opening.corpus import FORGER_ROOT, Corpus, Door, doors, honest_corpus, store
from tests.attacks.opening.judge import Rule, gullible, judge, raising
from tests.attacks.quiet import quieten
from tests.attacks.rows import Row

FAMILY = "opening"
PROCESSES = os.cpu_count() or 2
MEMORY_BYTES = 3 * 1024**3  # of address space, for each process: past it Python's own allocation fails, which counts as a crash
RSS_BYTES = 600 * 1024**2
SLOW_SECONDS = 10.0  # for one message, on a machine that is busy with much else
CONTROLS = 60


@dataclass(frozen=True, slots=True)
class Attack:
    """A kind of change, what a door may believe of it, and its share of the tries."""

    name: str
    change: Change
    rule: Rule
    share: int = 10
    control: str = "gullible"  # which defence is taken away to see the judge see it: `gullible`, or `forger` (his authority is pinned)


ATTACKS: tuple[Attack, ...] = (
    Attack("bits of the body turned", changes.body_bits, Rule.AS_SIGNED, 40),
    Attack("a bit of an event turned, packed rightly again", changes.packed_again, Rule.NOTHING),
    Attack("the body cut, doubled, overwritten, something put in", changes.body_pieces, Rule.AS_SIGNED, 20),
    Attack("values exchanged for others of the same length", changes.text_for_text, Rule.NOTHING),
    Attack("gzip: streams behind streams, other formats and names", changes.gzip_tricks, Rule.AS_SIGNED),
    Attack("headers of other values and other types", changes.header_values, Rule.NOTHING, 15),
    Attack("headers and routing key of another route", changes.other_route, Rule.NOTHING),
    Attack("a character of the signature changed", changes.jws_characters, Rule.NOTHING, 15),
    Attack("a bit of the signed header or the signature turned", changes.jws_bits, Rule.NOTHING, 15),
    Attack("two changes at once", changes.mixture, Rule.AS_SIGNED),
    Attack("events moved between bundles", company.moved, Rule.NOTHING),
    Attack("events dropped", company.dropped, Rule.NOTHING, 5),
    Attack("events repeated", company.repeated, Rule.NOTHING, 5),
    Attack("events in another order", company.reordered, Rule.NOTHING, 5),
    Attack("a body under another bundle's signature", company.under_another_signature, Rule.NOTHING, 5),
    Attack("the digests put right, the old signature left", company.digests_put_right, Rule.NOTHING, 5),
    Attack("honest events signed by a stranger's authority", signatures.by_a_stranger, Rule.NOTHING, 5),
    Attack("other content signed by a stranger's authority", signatures.other_content_by_a_stranger, Rule.NOTHING, 5, "forger"),
    Attack("the unit's certificates, another key", signatures.with_the_own_certificate, Rule.NOTHING, 3),
    Attack("our leaf among the unit's certificates", signatures.chain_mixed, Rule.NOTHING, 3),
    Attack("alg none, HS256 with the public key, other curves", signatures.other_algorithms, Rule.NOTHING, 5),
    Attack("jwk, jku, x5u", signatures.keys_that_come_along, Rule.NOTHING, 3),
    Attack("crit, b64, iat, x5c, sigD against the profile, rightly signed", signatures.against_the_profile, Rule.NOTHING),
    Attack("a signed header in loose JSON", signatures.loosely_written, Rule.NOTHING, 5),
    Attack("the signature in other base64, DER, parts, attached", signatures.spelled_otherwise, Rule.NOTHING, 5),
    Attack("the mirrored signature (r, n - s)", signatures.mirrored, Rule.AS_SIGNED, 2, "none"),
    Attack("a signed event in loose JSON", content.loosely_written, Rule.SIGNED_BY_ITSELF),
    Attack("a signed event with a wrong envelope", content.envelope, Rule.SIGNED_BY_ITSELF),
    Attack("a signed event that is not what the headers say", content.other_than_the_headers, Rule.NOTHING, 5),
    Attack("said by a post that a house may say, and the other way round", content.said_by_the_wrong_kind, Rule.NOTHING, 5),
    Attack("gzip bombs, a million events, bodies past the limits", content.bombs, Rule.NOTHING, 1),
)


@dataclass
class Count:
    """What one process counted of one attack."""

    tries: int = 0
    got_in: int = 0
    crashed: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0

    def add(self, other: Count) -> None:
        """Take another process's count into this one."""
        self.tries += other.tries
        self.got_in += other.got_in
        self.crashed += other.crashed
        self.codes.update(other.codes)
        self.failures += other.failures
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)


def attack_opening(tries: int, seed: int) -> Iterator[Row]:
    """Try about so many changed bundles, and give a row for each kind of change, and one for memory and pace."""
    quieten()
    corpus = honest_corpus()
    yield _honest(corpus)
    controls = {attack.name: _control(attack, corpus, seed) for attack in ATTACKS}
    began = time.monotonic()
    counts, rss = _in_processes(corpus, tries, seed)
    seconds = time.monotonic() - began
    for attack in ATTACKS:
        count = counts[attack.name]
        codes = ", ".join(code for code, _ in count.codes.most_common(3))
        note = f"{len(count.codes)} answers: {codes}"
        yield Row(FAMILY, attack.name, count.tries, count.got_in, count.crashed, controls[attack.name], note, tuple(count.failures))
    total = sum(count.tries for count in counts.values())
    slowest = max(counts.items(), key=lambda each: each[1].slowest_seconds)
    note = f"{total / seconds:,.0f}/s in {PROCESSES} processes; most memory {rss / 1e6:.0f} MB; slowest {slowest[1].slowest_seconds:.1f} s"
    failures = () if rss <= RSS_BYTES else (f"a process needed {rss / 1e6:.0f} MB",)
    yield Row(FAMILY, "memory and time of all of the above", PROCESSES, 0, len(failures), None, note, failures)


def _honest(corpus: Corpus) -> Row:
    """The other side of every row: what is honest opens, whole; and a door that raises is seen."""
    real = doors(store())
    failures = []
    specimens = [specimen for specimen in corpus.specimens if specimen.door != "elsewhere"]
    for specimen in specimens:
        for message in (specimen.message, specimen.plain):
            verdict = judge(message, specimen.door, real, corpus, Rule.AS_SIGNED)
            if verdict.code != "opened" or verdict.got_in:
                failures.append(f"{specimen.name} does not open: {verdict}")
    seen = judge(specimens[0].message, specimens[0].door, raising(real), corpus, Rule.NOTHING).crashed != ""
    return Row(FAMILY, "nothing: honest bundles open", 2 * len(specimens), 0, len(failures), seen, failures=tuple(failures))


def _control(attack: Attack, corpus: Corpus, seed: int) -> bool | None:
    """Whether the judge sees something get in once the defence is taken away."""
    if attack.control == "none":
        return None
    open_doors = gullible(doors(store())) if attack.control == "gullible" else doors(store(tj=FORGER_ROOT, af=FORGER_ROOT))
    random = Random(f"{seed} control {attack.name}")
    for _ in range(CONTROLS):
        door, message = attack.change(random, corpus)
        if judge(message, door, open_doors, corpus, attack.rule).got_in:
            return True
    return False


def _in_processes(corpus: Corpus, tries: int, seed: int) -> tuple[dict[str, Count], int]:
    context = multiprocessing.get_context("fork")  # the corpus's keys are made once
    share = -(-tries // PROCESSES)
    with context.Pool(PROCESSES) as pool:
        parts = pool.starmap(_fire, [(corpus, share, f"{seed} {number}") for number in range(PROCESSES)], chunksize=1)
    counts = {attack.name: Count() for attack in ATTACKS}
    for part, _ in parts:
        for name, count in part.items():
            counts[name].add(count)
    return counts, max(rss for _, rss in parts)


def _fire(corpus: Corpus, tries: int, seed: str) -> tuple[dict[str, Count], int]:
    quieten()
    warnings.simplefilter("ignore")  # cryptography warns of serial numbers that only broken certificates have
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    real = doors(store())
    whole = sum(attack.share for attack in ATTACKS)
    counts = {}
    for attack in ATTACKS:
        random = Random(f"{seed} {attack.name}")
        counts[attack.name] = _try(attack, corpus, real, random, max(8, tries * attack.share // whole))
    return counts, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _try(attack: Attack, corpus: Corpus, real: Mapping[str, Door], random: Random, tries: int) -> Count:
    count = Count()
    for number in range(tries):
        door, message = attack.change(random, corpus)
        began = time.perf_counter()
        verdict = judge(message, door, real, corpus, attack.rule)
        seconds = time.perf_counter() - began
        count.tries += 1
        count.codes[verdict.code] += 1
        count.slowest_seconds = max(count.slowest_seconds, seconds)
        count.got_in += verdict.got_in != ""
        count.crashed += verdict.crashed != "" or seconds > SLOW_SECONDS
        wrong = verdict.got_in or verdict.crashed or (f"it took {seconds:.0f} s" if seconds > SLOW_SECONDS else "")
        if wrong and len(count.failures) < 3:
            count.failures.append(f"try {number} at {door}: {wrong}")
    return count


def failures_of(rows: Sequence[Row]) -> list[str]:
    """All that went wrong, for a test."""
    return [failure for row in rows for failure in row.failures or ((row.attack,) if not row.held else ())]
