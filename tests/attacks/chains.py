"""Certificates that must not speak: what a stranger, another administration, or an authority that was careless might have made.

Each names a unit of one country and comes with its key, so that a bundle can be signed with it. Used in memory and in the laboratory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker.trust.keys import Identity
from schemas.names import Party
from tests.unit.trust.certificates import Pair, identity, make, root

_UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that must not speak for `unit`; `signer` signs with it."""

    name: str
    signer: Identity


class Maker:
    """Makes certificates around `now` of the authorities of two countries, and of nobody."""

    def __init__(self, own: Pair, other: Pair, unit: Party, now: datetime) -> None:
        self._own = own
        self._other = other
        self._unit = unit
        self._since, self._until = now - timedelta(days=1), now + timedelta(days=30)
        self._now = now

    def _make(self, issuer: Pair | None, *uris: str, **shape: object) -> Pair:
        chosen = {"since": self._since, "until": self._until, **shape}
        return make("leaf", issuer, uris=uris or (self._unit.urn,), **chosen)  # type: ignore[arg-type]

    def _authority(self, name: str, issuer: Pair | None = None, **shape: object) -> Pair:
        chosen = {"since": self._since, "until": self._until, **shape}
        return make(name, issuer, ca=True, **chosen)  # type: ignore[arg-type]

    def _signer(self, end: Pair, *above: Pair) -> Identity:
        return identity(end, *above, urn=self._unit.urn)

    def rightful(self) -> Identity:
        """A signer as the authority makes them: what all the others lack something of."""
        return self._signer(self._make(self._own))

    def chains(self) -> Iterator[Chain]:
        """Every chain that must not speak for the unit."""
        yield from self._of_strangers()
        yield from self._out_of_time()
        yield from self._of_other_shape()
        yield from self._with_other_names()
        yield from self._below_what_is_no_authority()

    def _of_strangers(self) -> Iterator[Chain]:
        name = self._own.certificate.subject
        stranger = root("stranger", since=self._since, until=self._until)
        common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        twin = root(str(common), since=self._since, until=self._until)
        yield Chain("a stranger's authority", self._signer(self._make(stranger)))
        yield Chain("an authority of the same name", self._signer(self._make(twin)))
        yield Chain("an authority of the same name, the true one beside it", self._signer(self._make(twin), self._own))
        yield Chain("no authority: self-signed", self._signer(self._make(None)))
        yield Chain("the other country's authority", self._signer(self._make(self._other)))
        beneath = self._authority("beneath", self._other)
        yield Chain("an authority below the other country's", self._signer(self._make(beneath), beneath))

    def _out_of_time(self) -> Iterator[Chain]:
        hour, day = timedelta(hours=1), timedelta(days=1)
        yield Chain("expired an hour ago", self._signer(self._make(self._own, until=self._now - hour)))
        yield Chain("expired six minutes ago", self._signer(self._make(self._own, until=self._now - timedelta(minutes=6))))
        later = self._make(self._own, since=self._now + hour, until=self._now + 2 * day)
        yield Chain("not valid for another hour", self._signer(later))
        late = self._authority("late", self._own, until=self._now - hour)
        yield Chain("below an authority that expired", self._signer(self._make(late), late))

    def _of_other_shape(self) -> Iterator[Chain]:
        own = self._own
        yield Chain("key usage without digitalSignature", self._signer(self._make(own, usage="none")))
        yield Chain("no key usage", self._signer(self._make(own, usage=None)))
        for name, key in (("P-384", ec.generate_private_key(ec.SECP384R1())), ("secp256k1", ec.generate_private_key(ec.SECP256K1()))):
            yield Chain(f"a key on {name}", self._signer(self._make(own, key=key)))
        yield Chain("a critical extension that nobody knows", self._signer(self._make(own, extra=[(_UNKNOWN, True)])))
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        both = make("both", own, ca=True, usage=None, uris=(self._unit.urn,), since=self._since, until=self._until, extra=[(usage, True)])
        yield Chain("an authority that signs events itself", self._signer(both))

    def _with_other_names(self) -> Iterator[Chain]:
        urn, own = self._unit.urn, self._own
        house = f"urn:customs:{self._unit.country}:customs"
        names: tuple[tuple[str, tuple[str, ...]], ...] = (
            ("two URNs", (urn, house)),
            ("the same URN twice", (urn, urn)),
            ("a URN and an address", (urn, "https://example.tj")),
            ("another post's URN", (f"urn:customs:{self._unit.country}:elsewhere",)),
            ("the house's URN", (house,)),
            ("the URN in capitals", (urn.upper(),)),
            ("the URN with a space", (urn + " ",)),
            ("the URN with a line's end", (urn + "\n",)),
            ("the URN with a null", (urn + "\0x",)),
            ("the URN in percent signs", (urn.replace("customs", "%63ustoms"),)),
            ("a longer URN", (urn + "-x",)),
        )
        for name, uris in names:
            yield Chain(name, self._signer(self._make(own, *uris)))
        bare = make("bare", own, since=self._since, until=self._until)
        yield Chain("no name: a link's certificate", self._signer(bare))
        host = make(urn, own, dns=(f"{self._unit.unit}.example",), since=self._since, until=self._until)
        yield Chain("the URN as common name, a host as the name: a broker's certificate", self._signer(host))

    def _below_what_is_no_authority(self) -> Iterator[Chain]:
        own = self._own
        unit = self._make(own, f"urn:customs:{self._unit.country}:customs")
        yield Chain("issued by a unit", self._signer(self._make(unit), unit))
        link = make("link", own, since=self._since, until=self._until)
        yield Chain("issued by a link", self._signer(self._make(link), link))
        mute = self._authority("mute", own, usage="none")
        yield Chain("issued by an authority that may not issue", self._signer(self._make(mute), mute))
        short = self._authority("short", own, path_length=0)
        below = self._authority("below", short)
        yield Chain("a path longer than allowed", self._signer(self._make(below), below, short))
        one = self._authority("one", own)
        two = self._authority("two", one)
        yield Chain("the chain in another order", self._signer(self._make(two), one, two))
        yield Chain("a link of the chain missing", self._signer(self._make(two), two))
        yield Chain("more in the chain than belongs there", self._signer(self._make(own), one))
        key = rsa.generate_private_key(65537, 1024)  # noqa: S505  weak, for that is what is tried
        weak = self._authority("weak", own, key=key)
        yield Chain("an authority with a weak key", self._signer(self._make(weak), weak))
