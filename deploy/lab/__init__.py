"""The laboratory: private brokers and databases, a line that can be cut, and two administrations between them. Loopback only."""
