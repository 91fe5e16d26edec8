"""A perceptron with two hidden tanh layers on handwritten digits, with backprop written by hand."""

from itertools import pairwise

import numpy as np

import pardiff

SIZES = (64, 24, 24, 10)
BATCH = 256


def load_digits():
    """The first 256 images of 8 by 8 pixels, scaled to [0, 1], and their classes."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    return images[:BATCH] / 16.0, classes[:BATCH]


def parameters():
    """Weights of the usual scale, one over the root of the number of inputs."""
    rng = np.random.default_rng(2)
    names = ("hidden1", "hidden2", "output")
    return {name: _layer(rng, *sizes) for name, sizes in zip(names, pairwise(SIZES), strict=True)}


def _layer(rng, inputs, outputs):
    return {
        "W": rng.normal(scale=inputs**-0.5, size=(inputs, outputs)),
        "b": rng.normal(scale=0.1, size=outputs),
    }


def forward(x, X):
    """Activations of the hidden layers, and the logarithm of the class probabilities."""
    a1 = np.tanh(X @ x["hidden1"]["W"] + x["hidden1"]["b"])
    a2 = np.tanh(a1 @ x["hidden2"]["W"] + x["hidden2"]["b"])
    z = a2 @ x["output"]["W"] + x["output"]["b"]
    z = z - z.max(axis=1, keepdims=True)
    return a1, a2, z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def loss(x, X, classes):
    """Mean cross-entropy."""
    log_p = forward(x, X)[-1]
    return -np.mean(log_p[np.arange(len(X)), classes])


def backprop(x, X, classes):
    """Gradient of the loss, layer by layer from the end."""
    a1, a2, log_p = forward(x, X)
    delta3 = np.exp(log_p)
    delta3[np.arange(len(X)), classes] -= 1.0
    delta3 /= len(X)
    delta2 = (delta3 @ x["output"]["W"].T) * (1.0 - a2**2)
    delta1 = (delta2 @ x["hidden2"]["W"].T) * (1.0 - a1**2)
    return {
        "hidden1": {"W": X.T @ delta1, "b": delta1.sum(axis=0)},
        "hidden2": {"W": a1.T @ delta2, "b": delta2.sum(axis=0)},
        "output": {"W": a2.T @ delta3, "b": delta3.sum(axis=0)},
    }


def transposed(x, X, classes):
    """Backprop with a transposition that the square shape of the second layer hides."""
    g = backprop(x, X, classes)
    g["hidden2"]["W"] = g["hidden2"]["W"].T.copy()
    return g


@pardiff.problem
def digits_mlp():
    """2,410 parameters in three layers."""
    return pardiff.Problem(loss, backprop, parameters(), args=load_digits(), order=4, rtol=1e-5)


@pardiff.problem(batch=False)
def digits_mlp_transposed():
    """The same with the gradient of the second layer's weights transposed."""
    return pardiff.Problem(loss, transposed, parameters(), args=load_digits(), order=4, rtol=1e-5)


if __name__ == "__main__":
    from pardiff.cli import main

    main(["run", __file__])
