"""Bundles: what travels as one AMQP message, from events to a signed message (`pack`) and back (`open`)."""
