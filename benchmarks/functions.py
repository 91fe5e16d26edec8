"""Functions that are measured, importable by the processes of every peer."""

import time

import numpy as np


class Busy:
    """A sum that keeps the interpreter busy for a given time."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, x):
        """Spin, then sum."""
        end = time.perf_counter() + self.seconds
        value = float(np.sum(x))
        while time.perf_counter() < end:
            pass
        return value


def gradient(x):
    """Gradient of the sum."""
    return np.ones_like(x)


def first(x):
    """A cheap function of many parameters: it reads the first thousand."""
    return float(np.sum(x[:1000] ** 2))


def first_gradient(x):
    """Its gradient."""
    g = np.zeros_like(x)
    g[:1000] = 2 * x[:1000]
    return g
