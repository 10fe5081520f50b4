"""Modes of transport as bare codes; 7 is fixed installations (power lines, pipelines): no vehicle carries such goods."""

TITLE = "UN/ECE Recommendation 19, codes for modes of transport"
EDITION = "second edition, TRADE/CEFACT/2001/19"
CODES = frozenset("0123456789")
FIXED_INSTALLATION = "7"
