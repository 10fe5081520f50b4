"""Followers: what the house has loaded, carried on into the national system, each event once, whatever order the loads were committed in.

`ledger` knows what is left to do; `worker` does it, in turns; the kinds stand beside: `consumers.loaders.asycuda_files` and
`consumers.loaders.mapped_tables`.
"""
