"""What stands on our broker: derived from exchange.toml (`model`, `derive`), compared (`diff`), made so (`apply`), watched (`observe`)."""
