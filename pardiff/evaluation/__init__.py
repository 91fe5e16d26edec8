"""fun at displaced points, and derivatives from it. Imports ``problem`` and ``numerics``."""
