"""The protocol's limits, each checked before the work that it bounds. `docs/protocol.md` lists them; tests stand just past each."""

from __future__ import annotations

BUNDLE_EVENTS = 500  # events under one signature; 500 digests are 58 kB of header
HEADER_BYTES = 100_000  # the `jws` header; all headers of an AMQP message must fit one frame (131,072 bytes)
BODY_BYTES = 4 * 1024 * 1024  # a bundle's body as it travels
UNPACKED_BYTES = 16 * 1024 * 1024  # a bundle's body after gunzip
EVENT_BYTES = 1024 * 1024  # one event's exact bytes: a declaration of 999 items is about 500 kB
JSON_DEPTH = 12  # nesting of objects and arrays in an event
TEXT_CHARACTERS = 2_000  # any one string in an event's data
VERSIONS = 9_999  # versions of a declaration
ITEMS = 999  # items of a declaration (SAD box 5 has three digits)
CHAIN_CERTIFICATES = 3  # the leaf and at most two intermediates; the anchor never travels
RECEIPT_ANSWERS = 500  # events answered by one receipt
PROBLEMS = 20  # coded problems told per refused event
BLOCK_EVENTS = 1_000  # sequences of one block of a manifest
MANIFEST_BLOCKS = 1_000  # blocks compared by one manifest
MANIFEST_ABSENT = 10_000  # ranges of sequences, in all of its blocks, that the post does not know itself
ANSWER_LINES = 3_000  # ranges and lines in one answer to a manifest: about 400 kB
MANIFEST_STREAMS = 200  # streams of one manifest
RECOVERY_ENTRIES = 1_000  # events told by one page of a recovery answer: about 400 kB
RECOVERY_STREAMS = 2_000  # streams of one recovery and of its answer: about 180 kB
BEACON_EPOCHS = 20  # epochs of a post that the house tells with its beacon
INTEGER = 2**53 - 1  # beyond it JSON readers disagree (RFC 8259, section 6)
CRL_BYTES = 4 * 1024 * 1024  # a certificate revocation list
EVIDENCE_BYTES = 64 * 1024 * 1024  # an evidence file
EVIDENCE_MARKS = 1_000_000  # braces, brackets and commas in it: a hundred blocks of a thousand lines have four for each line
EVIDENCE_EVENTS = 100  # events in one: versions of one declaration, to each destination
EVIDENCE_CRLS = 40  # revocation lists in one
ARCHIVE_LINE_BYTES = 8 * 1024 * 1024  # one line of an archived block: a CRL in base64, or an event whose every character is escaped
ARCHIVE_LINES = 10 * BLOCK_EVENTS  # lines of one: events, withdrawals, a signature or receipt each at worst, and CRLs
EXTENSION_NAMES = 200  # names in `extensions` itself
EXTENSION_VALUES = 100_000  # values in it, at all depths: 999 items of a SAD with a hundred boxes each that no field takes
EXTENSION_DEPTH = 4  # nesting of objects and lists in it, itself included
