"""Doing the blocks: in this process, in threads, on a Dask cluster, or through a map of the user's."""
