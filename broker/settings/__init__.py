"""exchange.toml: what its keys mean (`model`) and reading it (`load`)."""
