"""File formats: each one module and one entry point of the group "panj.formats"."""
