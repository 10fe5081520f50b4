"""The durable table of what a unit sends, and its migrations. What is sent when stands in `broker.relay`."""
