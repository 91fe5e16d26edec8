"""Which coordinates are evaluated in which block, and what that costs. Evaluates nothing."""
