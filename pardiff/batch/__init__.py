"""Many problems on one cluster: an audit each, an index of all, and what has changed between two batches."""
