"""The loaders that come with Panj: each a `@consumer` like an integration team's own."""
