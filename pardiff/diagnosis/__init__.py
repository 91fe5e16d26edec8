"""What is wrong with a gradient: the shortest description of how the analytical derivative differs from the numerical
derivative.
"""
