"""Delivery terms as bare codes; the editions before 2020 still stand in long contracts."""

TITLE = "Incoterms of the International Chamber of Commerce (UN/ECE Recommendation 5)"
EDITION = "2020, with those of 2010 and 2000 that it dropped"
_CODES = "EXW FCA CPT CIP DAP DPU DDP FAS FOB CFR CIF DAT DAF DES DEQ DDU"
CODES = frozenset(_CODES.split())
