"""Evidence: what was kept of one declaration, handed over in one file, and what such a file proves to somebody far away and much later."""
