"""The border post: sources, formats, what may leave, and intake into the outbox."""
