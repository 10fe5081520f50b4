"""A follower that fills configured tables of a database as a mapping file says."""
