"""The revisions of the house's database, oldest first; a published one is never changed."""
