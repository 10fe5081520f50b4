"""Declarations read from a table or view of the national database: `following` decides what is read next, `national` asks for it."""
