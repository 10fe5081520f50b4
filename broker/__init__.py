"""How it travels: settings, trust and signing, bundles, topology, AMQP, outbox and relay, operations. Imports schemas only."""
