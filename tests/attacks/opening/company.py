"""Events in another company than the one in which they were signed: moved, dropped, repeated, in another order, under another signature."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from random import Random
from typing import Any

from broker.bundle.lines import compress, join
from broker.ports import Message
from broker.trust.signing import b64url
from schemas.event import digest_of
from tests.attacks.opening.changes import some
from tests.attacks.opening.corpus import Corpus, Specimen
from tests.unit.bundle.senders import with_headers


def _with(specimen: Specimen, raws: list[bytes]) -> Message:
    body, encoding = compress(join(raws))
    return with_headers(replace(specimen.message, body=body, content_encoding=encoding), events=len(raws))


def _many(random: Random, corpus: Corpus) -> Specimen:
    return random.choice([each for each in corpus.at("record") if len(each.raws) > 2])


def moved(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Events of another bundle among these, in place of some or beside them."""
    specimen, other = _many(random, corpus), random.choice(corpus.specimens)
    raws, at = list(specimen.raws), random.randrange(len(specimen.raws))
    strange = random.choice(other.raws)
    raws[at : at + random.randrange(2)] = [strange]
    return specimen.door, _with(specimen, raws if raws != list(specimen.raws) else [*raws, strange])


def dropped(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Some events left out, with and without the count put right."""
    specimen = _many(random, corpus)
    kept = sorted(random.sample(range(len(specimen.raws)), random.randrange(1, len(specimen.raws))))
    message = _with(specimen, [specimen.raws[index] for index in kept])
    return specimen.door, with_headers(message, events=len(specimen.raws)) if random.random() < 0.3 else message


def repeated(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """An event twice."""
    specimen = some(random, corpus)
    raws = [*specimen.raws]
    raws.insert(random.randrange(len(raws) + 1), random.choice(raws))
    return specimen.door, _with(specimen, raws)


def reordered(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """The same events in another order."""
    specimen = _many(random, corpus)
    raws = [*specimen.raws]
    while raws == list(specimen.raws):
        random.shuffle(raws)
    return specimen.door, _with(specimen, raws)


def under_another_signature(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """A body under the whole signature of another bundle, or under its last part."""
    specimen = some(random, corpus)
    other = random.choice([each for each in corpus.specimens if each is not specimen])
    mine, theirs = (str(each.message.headers["jws"]) for each in (specimen, other))
    mixed = f"{mine.split('.')[0]}..{theirs.split('.')[2]}"
    return specimen.door, with_headers(specimen.message, jws=random.choice((theirs, mixed)))


def digests_put_right(random: Random, corpus: Corpus) -> tuple[str, Message]:
    """Another body, the digests in the signed header put right for it, the old signature left."""
    specimen = some(random, corpus)
    other = random.choice([each for each in corpus.specimens if each is not specimen])
    raws = [*random.choice((other.raws, (*specimen.raws, other.raws[0]), specimen.raws[::-1] if len(specimen.raws) > 1 else other.raws))]
    protected, _, signature = str(specimen.message.headers["jws"]).split(".")
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(protected + "=="))
    header["sigD"] |= {"pars": [str(number + 1) for number in range(len(raws))], "hashV": [b64url(digest_of(raw)) for raw in raws]}
    forged = b64url(json.dumps(header, separators=(",", ":")).encode())
    return specimen.door, with_headers(_with(specimen, raws), jws=f"{forged}..{signature}")
