"""Pure formulas on arrays: stencils, steps, error bars. Imports NumPy and ``pardiff.errors`` alone."""
