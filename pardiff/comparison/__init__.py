"""The analytical against the numerical gradient: tolerances, verdicts, findings. Evaluates nothing."""
