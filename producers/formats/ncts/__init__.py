"""EU NCTS phase 5 messages: their outlines, tables and the format."""
