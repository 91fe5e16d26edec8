"""Least squares: L(w) = sum((y - X w)^2) with gradient -2 X'(y - X w)."""

import numpy as np

import pardiff

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
Y = np.array([1.0, 2.0, 3.0])
W = np.array([0.1, 0.2])


def loss(w, X, y):
    """Sum of squared residuals."""
    return np.sum((y - X @ w) ** 2)


def gradient(w, X, y):
    """Its gradient."""
    return -2 * X.T @ (y - X @ w)


@pardiff.problem
def textbook():
    """Three observations of two variables: the problem to start from."""
    return pardiff.Problem(loss, gradient, W, args=(X, Y), abs_step=1e-5)


@pardiff.problem(batch=False)
def textbook_sign():
    """The same with the sign of the gradient forgotten."""
    return pardiff.Problem(loss, lambda w, X, y: -gradient(w, X, y), W, args=(X, Y), abs_step=1e-5)


def load_diabetes():
    """442 patients, ten standardised measurements and an intercept; the target is standardised too."""
    from sklearn.datasets import load_diabetes

    data, target = load_diabetes(return_X_y=True)
    design = np.column_stack([data / data.std(axis=0), np.ones(len(data))])
    return design, (target - target.mean()) / target.std()


@pardiff.problem
def diabetes():
    """Disease progression by linear regression, at an arbitrary point."""
    X, y = load_diabetes()
    w = np.random.default_rng(0).normal(scale=0.3, size=X.shape[1])
    return pardiff.Problem(loss, gradient, w, args=(X, y))


@pardiff.problem(batch=False)
def diabetes_intercept():
    """The same with an intercept that the gradient does not know of: its last entry is left at zero."""
    X, y = load_diabetes()
    w = np.random.default_rng(0).normal(scale=0.3, size=X.shape[1])

    def without_intercept(w, X, y):
        g = gradient(w, X, y)
        g[-1] = 0.0
        return g

    return pardiff.Problem(loss, without_intercept, w, args=(X, y))


if __name__ == "__main__":
    from pardiff.cli import main

    main(["run", __file__])
