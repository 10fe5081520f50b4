"""The one catalogue of coded errors: what each code means and who must act. `docs/errors.md` is generated from it.

A code, once published, keeps its meaning for ever; a new meaning gets a new code.
"""

from __future__ import annotations

from collections.abc import Iterator
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


# A text begins an area, what follows belongs to it: add a code to the area that raises it.
_ENTRIES: tuple[str | Entry, ...] = (
    "content: what a trusted sender said cannot be loaded (REFUSED)",
    Entry("field-missing", "a field that is needed is not there", Actor.SENDER),
    Entry("field-unknown", "a field that this version of the type does not have", Actor.SENDER),
    Entry("field-invalid", "a value has the wrong form, length or range", Actor.SENDER),
    Entry("code-unknown", "a code is not in its code list", Actor.SENDER),
    Entry("rule-broken", "fields contradict each other", Actor.SENDER),
    Entry("type-unknown", "the type is not part of this version of the protocol", Actor.INTEGRATOR),
    Entry("sealed-broken", "data under encryption does not decrypt, or is not what was signed", Actor.SENDER_OPERATOR),
    Entry("sealed-key-unknown", "it is encrypted to a key that the house does not have (HELD): add the key", Actor.RECEIVER_OPERATOR),
    Entry("reasons-unreadable", "the house's reasons are encrypted under a key that this outbox does not hold", Actor.SENDER_OPERATOR),
    "JSON: the exact bytes are not strict JSON",
    Entry("json-encoding", "not UTF-8, or a byte order mark stands before the JSON", Actor.INTEGRATOR),
    Entry("json-syntax", "not JSON, or something stands after it", Actor.INTEGRATOR),
    Entry("json-depth", "nested deeper than the protocol allows", Actor.INTEGRATOR),
    Entry("json-duplicate-key", "a name stands twice in one object", Actor.INTEGRATOR),
    Entry(
        "json-number", "a fraction, an exponent, minus zero, NaN or an integer beyond 2**53 - 1: it travels as a string", Actor.INTEGRATOR
    ),
    Entry("json-text", "a string with U+0000, a lone surrogate, or longer than the protocol allows", Actor.INTEGRATOR),
    Entry("json-not-object", "JSON, but not one object", Actor.INTEGRATOR),
    "trust: certificates, CRLs, signatures (PARKED)",
    Entry("jws-too-long", "the signature's header is longer than the protocol allows", Actor.INTEGRATOR),
    Entry("jws-form", "the signature is no detached compact JWS in canonical base64url", Actor.INTEGRATOR),
    Entry("jws-header", "the signature's header is not strict JSON, or a parameter is missing or wrong", Actor.INTEGRATOR),
    Entry("jws-algorithm", "another algorithm than ES256", Actor.INTEGRATOR),
    Entry("jws-forbidden", "the signature brings its own key or where to fetch one", Actor.RECEIVER_OPERATOR),
    Entry("jws-critical", "crit is not exactly sigD and b64, or b64 is not false", Actor.INTEGRATOR),
    Entry(
        "jws-digests", "the signed digests are not those of the events: changed on the way, it heals by the resend", Actor.RECEIVER_OPERATOR
    ),
    Entry("jws-signature", "the signature does not fit the certificate's key", Actor.RECEIVER_OPERATOR),
    Entry("trust-chain-length", "more than the leaf and two intermediates, or no certificate", Actor.SENDER_OPERATOR),
    Entry("trust-certificate-unreadable", "a certificate of the chain cannot be read", Actor.SENDER_OPERATOR),
    Entry("trust-name", "the certificate does not carry exactly one URI that is a customs URN", Actor.SENDER_OPERATOR),
    Entry("trust-curve", "the certificate's key is not on P-256", Actor.SENDER_OPERATOR),
    Entry("trust-usage", "the certificate's key usage is not digitalSignature, or it is an authority's", Actor.SENDER_OPERATOR),
    Entry("trust-path", "no path from the certificate to the anchor pinned for its country", Actor.RECEIVER_OPERATOR),
    Entry("trust-country-unknown", "no anchor is pinned for the country", Actor.RECEIVER_OPERATOR),
    Entry("trust-country-mismatch", "a unit of another country spoke in this lane", Actor.RECEIVER_OPERATOR),
    Entry("trust-not-yet-valid", "a certificate of the chain is not valid yet at the receiver's clock", Actor.RECEIVER_OPERATOR),
    Entry("trust-expired", "a certificate of the chain has expired", Actor.SENDER_OPERATOR),
    Entry("trust-revoked", "a certificate of the chain is on its authority's CRL", Actor.SENDER_OPERATOR),
    Entry(
        "trust-crl-stale",
        "the authority's newest CRL ran out, days of grace included: its units speak again with the next",
        Actor.SENDER_OPERATOR,
    ),
    Entry("crl-invalid", "not a whole CRL with a number, signed by its authority", Actor.SENDER_OPERATOR),
    Entry("crl-country-foreign", "a partner's lane brought a CRL of another country", Actor.RECEIVER_OPERATOR),
    Entry("crl-too-large", "a CRL is too large to travel as an event: it is taken to the partner by hand", Actor.SENDER_OPERATOR),
    Entry("key-exists", "a private key would be overwritten", Actor.OPERATOR),
    Entry("key-mode", "others than its owner may read a private key", Actor.OPERATOR),
    Entry("key-unreadable", "not a private key in PEM without a password", Actor.OPERATOR),
    Entry("key-curve", "a private key is not on P-256", Actor.OPERATOR),
    Entry("key-mismatch", "a certificate and a key do not belong together", Actor.OPERATOR),
    Entry("key-shared", "the key is certified already under another name", Actor.OPERATOR),
    Entry("certificate-unreadable", "not a certificate in PEM", Actor.OPERATOR),
    Entry(
        "encryption-certificate",
        "a house's encryption certificate does not serve: another's, expired, revoked, or no keyAgreement",
        Actor.OPERATOR,
    ),
    Entry("certificate-name", "a unit's own certificate lacks its one URN", Actor.OPERATOR),
    Entry("chain-too-long", "a certificate file holds more than two intermediates", Actor.OPERATOR),
    Entry("anchor-count", "an anchor file does not hold exactly one certificate", Actor.OPERATOR),
    Entry("anchor-no-authority", "a certificate that may not issue was pinned as an anchor", Actor.OPERATOR),
    Entry("authority-exists", "there is an authority in the directory already", Actor.OPERATOR),
    Entry("authority-missing", "there is no authority in the directory", Actor.OPERATOR),
    Entry("authority-broken", "the authority's book is damaged", Actor.OPERATOR),
    Entry("party-foreign", "an authority was asked to name another country's unit", Actor.OPERATOR),
    Entry("party-invalid", "not the name of a unit", Actor.OPERATOR),
    Entry("partner-invalid", "not another country's code", Actor.OPERATOR),
    Entry("host-invalid", "neither a host name nor an IP address", Actor.OPERATOR),
    Entry("days-invalid", "a certificate's life is too short, or past its authority's", Actor.OPERATOR),
    Entry("serial-unknown", "no certificate with that serial or name was issued", Actor.OPERATOR),
    Entry("request-invalid", "not a certificate signing request", Actor.OPERATOR),
    Entry("request-curve", "a request's key is not on P-256", Actor.OPERATOR),
    Entry("request-unproven", "a request is not signed by its own key", Actor.OPERATOR),
    Entry("pki-arguments", "the arguments of a pki command do not fit together", Actor.OPERATOR),
    Entry("file-unreadable", "a file cannot be read", Actor.OPERATOR),
    Entry("file-unwritable", "a file cannot be written", Actor.OPERATOR),
    Entry("file-exists", "a file would be overwritten", Actor.OPERATOR),
    "bundle: a message that cannot be opened (PARKED)",
    Entry("bundle-content-type", "the message is no bundle", Actor.INTEGRATOR),
    Entry("bundle-encoding", "another content encoding than gzip", Actor.INTEGRATOR),
    Entry("bundle-header", "a header is missing or has the wrong form", Actor.INTEGRATOR),
    Entry("bundle-gzip", "the body is not gzip, or cut short", Actor.RECEIVER_OPERATOR),
    Entry("bundle-form", "the body is not one compact event a line", Actor.INTEGRATOR),
    Entry("bundle-count", "no event, or more than a bundle may hold", Actor.INTEGRATOR),
    Entry("bundle-too-large", "the body is larger than the protocol allows, packed or unpacked", Actor.INTEGRATOR),
    Entry("bundle-event-too-large", "an event is larger than the protocol allows", Actor.INTEGRATOR),
    Entry("bundle-copy-mismatch", "a header or the routing key disagrees with what is signed", Actor.RECEIVER_OPERATOR),
    Entry("bundle-source-foreign", "a unit signed for another unit", Actor.RECEIVER_OPERATOR),
    Entry("bundle-destination", "the bundle is for another receiver", Actor.RECEIVER_OPERATOR),
    Entry("bundle-environment", "the bundle is of another environment", Actor.RECEIVER_OPERATOR),
    Entry("bundle-type-unknown", "the bundle's type is not part of this version of the protocol", Actor.INTEGRATOR),
    Entry("bundle-may-not-say", "this sender may not say this to this receiver", Actor.RECEIVER_OPERATOR),
    Entry("bundle-signer", "a unit was asked to sign for another one", Actor.OPERATOR),
    "settings: exchange.toml",
    Entry("settings-missing", "there is no exchange.toml at the place given", Actor.OPERATOR),
    Entry("settings-unreadable", "exchange.toml cannot be read", Actor.OPERATOR),
    Entry("settings-syntax", "exchange.toml is not TOML, or not UTF-8", Actor.OPERATOR),
    Entry("settings-key-unknown", "exchange.toml has a key that nobody reads", Actor.OPERATOR),
    Entry("settings-key-missing", "exchange.toml lacks a key that is needed", Actor.OPERATOR),
    Entry("settings-value", "a value of exchange.toml has the wrong form, or contradicts another", Actor.OPERATOR),
    Entry("settings-secret", "a password stands in exchange.toml: secrets stand in files of their own", Actor.OPERATOR),
    "topology: exchange.toml against the broker",
    Entry("topology-type-not-loaded", "a type is released that the destination's customs house does not load", Actor.OPERATOR),
    Entry("topology-management-unavailable", "the broker's management API does not answer", Actor.OPERATOR),
    Entry("topology-management-login", "the broker's management API refuses the user", Actor.OPERATOR),
    Entry("topology-password-unreadable", "the file with the management user's password cannot be read, or is empty", Actor.OPERATOR),
    Entry("topology-refused", "the broker refuses what the topology asks of it", Actor.OPERATOR),
    Entry("topology-unsettled", "the broker took a change and does not show it", Actor.OPERATOR),
    Entry("topology-conflict", "an exchange or queue stands there with properties that cannot be changed", Actor.OPERATOR),
    Entry("topology-drift", "the broker is not as exchange.toml says", Actor.OPERATOR),
    Entry("topology-link-down", "our broker's link to a partner does not run", Actor.OPERATOR),
    Entry("topology-link-expired", "a link does not run because a certificate has run out", Actor.OPERATOR),
    Entry("topology-link-expiring", "a certificate without which a link cannot be made runs out, or has", Actor.OPERATOR),
    Entry("topology-link-shut", "exchange.toml names a link user that was shut out: it is not made again", Actor.OPERATOR),
    Entry("topology-partner-away", "a partner's link does not take what waits for it", Actor.RECEIVER_OPERATOR),
    Entry("topology-alarm", "the broker raised an alarm, or a node is down", Actor.OPERATOR),
    Entry("topology-blocked", "the broker blocks a publisher", Actor.OPERATOR),
    Entry("topology-listener-open", "the broker listens without TLS beyond its machine", Actor.OPERATOR),
    "AMQP: the connection to the broker",
    "outbox: the sender's durable table",
    Entry("outbox-url", "the outbox's URL is not one that can be used", Actor.OPERATOR),
    Entry("outbox-foreign", "the outbox belongs to another unit or environment", Actor.OPERATOR),
    Entry("outbox-newer", "the outbox was written by a newer version of this software", Actor.OPERATOR),
    Entry("outbox-full", "the disk of the outbox is full", Actor.OPERATOR),
    Entry("outbox-disk-low", "the outbox's disk has less free than is kept for settling: nothing more is accepted for now", Actor.OPERATOR),
    Entry("outbox-unsettled", "so much is not settled yet that nothing more is accepted for now", Actor.OPERATOR),
    Entry("outbox-busy", "another process keeps the outbox locked", Actor.OPERATOR),
    Entry("outbox-away", "the outbox's database does not answer", Actor.OPERATOR),
    Entry("outbox-leased", "another process relays this outbox", Actor.OPERATOR),
    Entry("outbox-lease-lost", "another process has taken over relaying this outbox", Actor.OPERATOR),
    Entry("withdraw-unknown", "nothing of that name was accepted at this post", Actor.OPERATOR),
    Entry("withdraw-settled", "what is to be withdrawn is settled: only its next version changes anything", Actor.OPERATOR),
    Entry("version-withdrawn", "this version was withdrawn: what is to go after all is the next version", Actor.SENDER),
    Entry("outbox-restored", "the outbox was set back to an older state: nothing is accepted until it has recovered", Actor.OPERATOR),
    Entry("outbox-recovering", "the houses have not told yet what a restored or replaced outbox forgot", Actor.OPERATOR),
    Entry(
        "clock-behind",
        "the clock stands before what was last written down: nothing is accepted or signed until it is right",
        Actor.OPERATOR,
    ),
    Entry("event-too-large", "an event would be larger than the protocol allows", Actor.SENDER),
    Entry("receipt-not-from-house", "a receipt or beacon came from somebody else than the lane's customs house", Actor.RECEIVER_OPERATOR),
    Entry("certificate-expired", "a unit's own certificate has expired: nothing is signed with it", Actor.OPERATOR),
    Entry("control-redelivered", "a control message was delivered several times without being finished", Actor.RECEIVER_OPERATOR),
    "intake: files and what may leave",
    Entry("release-field-unknown", "a release names a field that its type does not have", Actor.OPERATOR),
    Entry("release-field-missing", "a release lacks a field without which no receiver could load the event", Actor.OPERATOR),
    Entry("release-none", "the declaration's type is released to nobody", Actor.OPERATOR),
    Entry("formats-none", "no file format is installed", Actor.OPERATOR),
    Entry("format-unknown", "the file is in none of the formats that are taken", Actor.SENDER),
    Entry("format-failed", "a format failed over a file", Actor.INTEGRATOR),
    Entry("file-empty", "the file is empty", Actor.SENDER),
    Entry("file-odd", "what lies in the watched directory is no regular file", Actor.SENDER_OPERATOR),
    Entry("file-too-large", "the file is larger than is taken", Actor.SENDER),
    Entry("object-too-large", "one declaration's JSON in a file is larger than is taken", Actor.SENDER),
    Entry("declaration-too-large", "the event made of the declaration would be larger than the protocol allows", Actor.SENDER),
    Entry("administration-foreign", "the declaration is another administration's", Actor.SENDER),
    Entry("watch-directory", "the watched directory, taken/ or rejected/ cannot be used", Actor.OPERATOR),
    Entry("directory-away", "the watched directory cannot be read for now: a share that is not mounted", Actor.OPERATOR),
    Entry("partner-unknown", "exchange.toml names no such partner or destination", Actor.OPERATOR),
    Entry("post-unknown", "exchange.toml has no such post, or has several and none was named", Actor.OPERATOR),
    Entry("broker-away", "our own broker does not take the post in", Actor.OPERATOR),
    Entry("broker-blocked", "our own broker blocks publishers: its memory or disk is short", Actor.OPERATOR),
    Entry("broker-refuses", "our own broker refuses bundles: the queue for the partner is full, or the unit may not", Actor.OPERATOR),
    Entry("type-unrouted", "no queue over there takes this type", Actor.OPERATOR),
    Entry("amqp-certificate-unusable", "the broker's authority, or the unit's certificate or key, cannot be used for TLS", Actor.OPERATOR),
    Entry("copy-same-disk", "the second copy's directory lies on the outbox's own disk: the stick is not mounted", Actor.OPERATOR),
    Entry("copy-missing", "there is no second copy at the place given", Actor.OPERATOR),
    Entry("copy-foreign", "a second copy is another post's, or another environment's", Actor.OPERATOR),
    Entry("recovery-needless", "an outbox was to recover that was not set back, as far as is known", Actor.OPERATOR),
    Entry("archive-missing", "exchange.toml names no archive: nothing is ever removed", Actor.OPERATOR),
    Entry("archive-unwritable", "the archive's directory cannot be written: nothing is removed until it can", Actor.OPERATOR),
    Entry("outbox-lost", "the outbox's file is gone, though there was one", Actor.OPERATOR),
    "customs: the customs house, its inbox and loaders",
    Entry("administration-mismatch", "a post says something in the name of another administration", Actor.SENDER),
    Entry("subject-mismatch", "the event's subject is not the reference of its content", Actor.INTEGRATOR),
    Entry("version-conflict", "this version is kept already with other content: a correction is a new version", Actor.SENDER),
    Entry("instant-implausible", "an instant lies outside the years that declarations may have", Actor.SENDER),
    Entry("refused-by-person", "a person at the receiver refused the event that had been held", Actor.SENDER),
    Entry("handler-surprise", "the receiver's loader failed on this event: it is held and tried again", Actor.RECEIVER_OPERATOR),
    Entry("worker-died", "a worker of the receiver died of this event or message: it is held or parked", Actor.RECEIVER_OPERATOR),
    Entry("suspended", "the receiver has suspended loading this for now: it is held, and decided when that ends", Actor.NOBODY),
    Entry("withdrawn", "its sender withdrew the event before it was loaded", Actor.NOBODY),
    Entry("event-conflict", "an id that is known came with other bytes (parked)", Actor.SENDER_OPERATOR),
    Entry(
        "event-pruned",
        "an unknown event at a place that was agreed and archived: somebody sends it again",
        Actor.RECEIVER_OPERATOR,
    ),
    Entry("sequence-conflict", "a place of a stream that is taken came with another event (parked)", Actor.SENDER_OPERATOR),
    Entry("type-misplaced", "a control event came to a consumer's queue (parked)", Actor.SENDER_OPERATOR),
    Entry("opening-surprise", "opening a message failed in an unforeseen way (parked); the log says how", Actor.RECEIVER_OPERATOR),
    Entry("inbox-surprise", "an event could not be written to the inbox (parked); the log says why", Actor.RECEIVER_OPERATOR),
    Entry("event-foreign", "a handler refused or held an event that is not in its batch", Actor.INTEGRATOR),
    Entry("handler-commits", "a handler tried to commit, roll back or close the framework's transaction", Actor.INTEGRATOR),
    Entry("consumer-batch-size", "@consumer: batch_size is out of range", Actor.INTEGRATOR),
    Entry("consumer-model-unknown", "@consumer: not a model of stream events", Actor.INTEGRATOR),
    Entry("consumer-missing", "the configured module defines no consumer of the configured queue", Actor.OPERATOR),
    Entry("consumer-module-missing", "the configured module cannot be imported", Actor.OPERATOR),
    Entry("consumer-type-untaken", "a configured type is not taken by the consumer of its queue", Actor.OPERATOR),
    Entry("reason-missing", "what a person does that changes an event's fate needs its reason", Actor.OPERATOR),
    Entry("reason-unfit", "a reason is too long, or holds characters that may harm a terminal or a page", Actor.OPERATOR),
    Entry("held-unknown", "no such event is held", Actor.OPERATOR),
    Entry("parked-unknown", "no such row is parked, or several begin so", Actor.OPERATOR),
    Entry(
        "parked-incomplete", "a parked message was not kept whole, or is a single event: its post sends it again by itself", Actor.NOBODY
    ),
    Entry("parked-lane-gone", "a message is parked that came from who is no partner any more", Actor.OPERATOR),
    Entry("queue-unserved", "something is to be tried for a queue that no consumer of exchange.toml takes", Actor.OPERATOR),
    Entry("selection-unclear", "a decision needs ids, or filters, or --all: exactly one of the three", Actor.OPERATOR),
    Entry("selection-empty", "nothing that is held or parked fits what was chosen", Actor.OPERATOR),
    Entry("selection-too-large", "more is chosen than one order may hold", Actor.OPERATOR),
    Entry("duration-invalid", "not a duration such as 45m, 2h or 3d", Actor.OPERATOR),
    Entry("order-unknown", "there is no such order", Actor.OPERATOR),
    Entry("order-overlaps", "what is chosen stands in another open order", Actor.OPERATOR),
    Entry("order-same-person", "who made an order may not approve it", Actor.OPERATOR),
    Entry("order-not-waiting", "an order does not wait for a second person", Actor.OPERATOR),
    Entry("order-expired", "an order waited too long for a second person", Actor.OPERATOR),
    Entry("order-not-open", "an order has ended already", Actor.OPERATOR),
    Entry("house-missing", "exchange.toml has no [house]", Actor.OPERATOR),
    Entry("house-database-url", "house.database is not a URL of SQLite or PostgreSQL", Actor.OPERATOR),
    Entry("house-database-empty", "the house's database has no tables yet", Actor.OPERATOR),
    Entry("house-database-older", "the house's database must be upgraded by a person", Actor.OPERATOR),
    Entry("house-database-newer", "the house's database was made by a newer version of this software", Actor.OPERATOR),
    Entry("house-database-away", "the house's database does not answer: nothing is lost, the house goes on when it does", Actor.OPERATOR),
    "evidence: files that prove a declaration",
    Entry("evidence-form", "the file is no evidence file, or not written in its one spelling, or larger than one may be", Actor.OPERATOR),
    Entry("evidence-contradicts", "parts of an evidence file do not fit together", Actor.OPERATOR),
    Entry("evidence-unproven", "an evidence file claims what its parts and the authorities that were given do not show", Actor.OPERATOR),
    Entry("evidence-too-large", "there is more than one evidence file may hold: export one version", Actor.OPERATOR),
    Entry("evidence-exists", "a file is there already, and evidence is never overwritten", Actor.OPERATOR),
    Entry("trust-country-missing", "a CA certificate names no country: say for which one it speaks", Actor.OPERATOR),
    Entry("unit-ambiguous", "a post and the house both know the declaration: say which one is meant", Actor.OPERATOR),
    "operations: commands",
    Entry("closing-unknown", "no such closing is kept on this side", Actor.OPERATOR),
    Entry("codelist-unknown", "no such code list can be loaded", Actor.OPERATOR),
    Entry("codelist-directory-missing", "exchange.toml names no directory for code lists", Actor.OPERATOR),
    Entry("codelist-empty", "no code of the list's shape was found in the file", Actor.OPERATOR),
    Entry("codelist-unreadable", "a code list's file cannot be read, or is neither UTF-8 nor what it seems", Actor.OPERATOR),
    Entry("codelist-column-missing", "a code list's file has no such column", Actor.OPERATOR),
    Entry("codelist-too-large", "a code list's file is larger than is taken", Actor.OPERATOR),
    Entry("codelist-damaged", "a code list that was loaded cannot be read any more", Actor.OPERATOR),
    Entry("instant-invalid", "not a day or an instant such as 2026-11-24", Actor.OPERATOR),
    Entry("command-unavailable", "a command's package is not installed, or not whole", Actor.OPERATOR),
    Entry("database-unavailable", "a database does not answer, or refuses", Actor.OPERATOR),
    Entry("network-unavailable", "a service does not answer over the network", Actor.OPERATOR),
    Entry("system-unavailable", "the operating system refused a file or a connection", Actor.OPERATOR),
    Entry("suspend-arguments", "the arguments of a suspension do not fit together", Actor.OPERATOR),
    Entry("suspension-unknown", "no such suspension is in force here", Actor.OPERATOR),
    Entry("suspension-nowhere", "what is to be suspended has no database on this machine", Actor.OPERATOR),
    Entry("lab-program-missing", "a program that the laboratory starts is not installed", Actor.OPERATOR),
    Entry("lab-node-failed", "a private broker or database of the laboratory does not start", Actor.OPERATOR),
    Entry("demo-failed", "a step of the demo did not come to its end in time", Actor.OPERATOR),
)

CATALOGUE: dict[str, Entry] = {entry.code: entry for entry in _ENTRIES if isinstance(entry, Entry)}


def areas() -> Iterator[tuple[str, list[Entry]]]:
    """Give each area of the catalogue, described in a few words, with its entries, in the order in which they stand."""
    named, entries = "", list[Entry]()
    for each in _ENTRIES:
        if isinstance(each, Entry):
            entries.append(each)
            continue
        if entries:
            yield named, entries
        named, entries = each, []
    if entries:
        yield named, entries
