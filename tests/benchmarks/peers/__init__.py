"""The same job as this project's, as a good engineer would do it with FastStream, and with plain pika: a message and a transaction each.

Both send the same declarations over the same brokers, federated over the same mutual TLS, with the same signature over each message, the
same validation, the same tables with the same indexes in PostgreSQL with fsync on, an outbox in SQLite with WAL and synchronous=FULL, and a
signed receipt for each declaration that settles its outbox row. What they need not do, because it is not part of the job as one would
state it: closings, kept signatures, holding, resending by beacons, suspensions, audit, compression, a mark on the row when it is sent.

How they are tuned, so that someone from those projects would agree:

- logging off; no connection, statement or key is made per message: keys and trust are loaded once and verdicts on chains are remembered
  (our own `broker.trust`), PostgreSQL sessions stay open, and a declaration's transaction is one prepared statement in one round trip; it
  breaks the inbox's primary key where the event came before, so that no question precedes it;
- the garbage collector is told to leave alone what the start has made (`gc.freeze`); sent rows are remembered, not written down;
- FastStream: on uvloop; its dependency injection and validation of arguments off (`apply_types=False`); one channel that publishes and one
  that consumes; as many handlers at a time as the prefetch says; publishes await their confirms side by side, the transactions theirs in
  psycopg's pool;
- plain pika: SelectConnection and not BlockingConnection, which costs far more; one channel, confirms outstanding side by side,
  receipts published without waiting, deliveries acknowledged together once their receipts are confirmed; several house processes;
- the numbers (how many in flight, prefetch, sessions, processes) stand in `tunings` with the search that found them; `--search` of
  `make bench` searches again and takes what it finds.

`job` is what is done to each message, `posts` the sender's outbox, `houses` the receiver's database, `peer` starts and measures, `checking`
compares what all three have loaded with what was to be sent.
"""
