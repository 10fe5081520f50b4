"""`make demo`: two administrations on this machine, what goes well and what goes wrong between them, and the count afterwards."""
