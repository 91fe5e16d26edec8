"""What is wrong with a gradient: the shortest description of how the claim differs from the numerical derivative."""
