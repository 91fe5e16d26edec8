"""An inverse problem: diffusivities of a rod from noisy temperatures, with a discrete adjoint.

u_t = (k(x) u_x)_x on [0, 1] with u = 0 at both ends, in time by implicit Euler. The parameters are the
logarithms of the diffusivity on the faces between cells, the loss is half the squared misfit to
temperatures observed at some cells and times. The gradient needs one solve backwards in time.
"""

import numpy as np

import pardiff

CELLS = 199
STEPS = 40
DT = 2.5e-3
NOISE = 0.01
EVERY = 5
"""Every fifth cell is observed, at every fifth step."""


def initial():
    """Two warm spots."""
    x = np.arange(1, CELLS + 1) / (CELLS + 1)
    return np.exp(-200 * (x - 0.3) ** 2) + 0.7 * np.exp(-120 * (x - 0.7) ** 2)


def inverse(log_k):
    """The dense inverse of I - dt A(k); CELLS is small enough for it to be the fastest way to many steps."""
    k = np.exp(log_k) * (CELLS + 1) ** 2 * DT
    matrix = np.diag(1.0 + k[:-1] + k[1:]) - np.diag(k[1:-1], 1) - np.diag(k[1:-1], -1)
    return np.linalg.inv(matrix)


def trajectory(log_k):
    """Temperatures at all steps, shape (STEPS + 1, CELLS), and the matrix of one step."""
    step = inverse(log_k)
    u = np.empty((STEPS + 1, CELLS))
    u[0] = initial()
    for t in range(STEPS):
        u[t + 1] = step @ u[t]
    return u, step


def observed(u):
    """What the thermometers see."""
    return u[EVERY::EVERY, EVERY - 1 :: EVERY]


def true_log_k():
    """A conductive stretch between two insulating ones."""
    x = (np.arange(CELLS + 1) + 0.5) / (CELLS + 1)
    return np.log(0.02 + 0.05 * np.exp(-60 * (x - 0.5) ** 2))


def observations():
    """Noisy temperatures."""
    clean = observed(trajectory(true_log_k())[0])
    return clean + NOISE * np.random.default_rng(3).normal(size=clean.shape)


def misfit(log_k, data):
    """Half the sum of squared misfits in units of the noise."""
    return 0.5 * np.sum(((observed(trajectory(log_k)[0]) - data) / NOISE) ** 2)


def adjoint(log_k, data, skip=0):
    """Gradient of the misfit by the discrete adjoint; ``skip`` leaves out the last steps (a fault)."""
    u, step = trajectory(log_k)
    source = np.zeros_like(u)
    source[EVERY::EVERY, EVERY - 1 :: EVERY] = (observed(u) - data) / NOISE**2
    k = np.exp(log_k) * (CELLS + 1) ** 2 * DT
    g = np.zeros_like(log_k)
    p = np.zeros(CELLS)
    for t in range(STEPS, 0, -1):
        p = step.T @ (p + source[t])
        if t > STEPS - skip:
            continue
        # d(I - dt A)/dk on a face couples its two cells; the walls hold 0
        du = np.diff(np.concatenate([[0.0], u[t], [0.0]]))
        dp = np.diff(np.concatenate([[0.0], p, [0.0]]))
        g -= k * du * dp
    return g


@pardiff.problem
def heat_adjoint():
    """200 diffusivities, from a uniform first guess."""
    return pardiff.Problem(misfit, adjoint, np.full(CELLS + 1, np.log(0.03)), args=(observations(),), order=4)


@pardiff.problem(batch=False)
def heat_adjoint_last_step():
    """The same with an adjoint that starts one step too early: the last step adds nothing."""

    def late(log_k, data):
        return adjoint(log_k, data, skip=1)

    return pardiff.Problem(misfit, late, np.full(CELLS + 1, np.log(0.03)), args=(observations(),), order=4)


if __name__ == "__main__":
    from pardiff.cli import main

    main(["run", __file__])
