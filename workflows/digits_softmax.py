"""Softmax regression on handwritten digits, with its textbook gradient."""

import numpy as np

import pardiff

DECAY = 1e-3


def load_digits():
    """1797 images of 8 by 8 pixels scaled to [0, 1], and their classes as one-hot rows."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    return images / 16.0, np.eye(10)[classes]


def parameters(X, T):
    """Small random weights."""
    rng = np.random.default_rng(1)
    return {
        "W": rng.normal(scale=0.1, size=(X.shape[1], T.shape[1])),
        "b": rng.normal(scale=0.1, size=T.shape[1]),
    }


def log_softmax(z):
    """Logarithm of the softmax of each row."""
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def loss(x, X, T):
    """Mean cross-entropy with weight decay."""
    log_p = log_softmax(X @ x["W"] + x["b"])
    return -np.sum(T * log_p) / len(X) + 0.5 * DECAY * np.sum(x["W"] ** 2)


def gradient(x, X, T):
    """Its gradient: softmax minus target, carried back to weights and biases."""
    delta = (np.exp(log_softmax(X @ x["W"] + x["b"])) - T) / len(X)
    return {"W": X.T @ delta + DECAY * x["W"], "b": delta.sum(axis=0)}


@pardiff.problem
def digits_softmax():
    """650 parameters."""
    X, T = load_digits()
    return pardiff.Problem(loss, gradient, parameters(X, T), args=(X, T), order=4, rtol=1e-5)


@pardiff.problem(batch=False)
def digits_softmax_no_decay():
    """The same with the weight decay forgotten in the gradient."""
    X, T = load_digits()

    def without_decay(x, X, T):
        g = gradient(x, X, T)
        return {"W": g["W"] - DECAY * x["W"], "b": g["b"]}

    return pardiff.Problem(loss, without_decay, parameters(X, T), args=(X, T), order=4, rtol=1e-5)


if __name__ == "__main__":
    from pardiff.cli import main

    main(["run", __file__])
