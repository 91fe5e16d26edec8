"""Structure that makes checks cheaper than passes: a chain of stages, changes of one's own, and batches."""

import numpy as np

import pardiff


def load_digits():
    """1797 images of 8 by 8 pixels scaled to [0, 1], and their classes."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    return images / 16.0, classes


class Network:
    """A perceptron with one hidden layer of tanh, and a cross entropy."""

    def __init__(self, X, classes):
        self.X, self.classes = X, classes

    def forward(self, x):
        """Hidden activations, and the logarithm of the softmax."""
        a = np.tanh(self.X @ x["hidden"]["W"] + x["hidden"]["b"])
        z = a @ x["out"]["W"] + x["out"]["b"]
        z -= z.max(axis=1, keepdims=True)
        return a, z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    def __call__(self, x):
        """The loss."""
        return -float(self.forward(x)[1][np.arange(len(self.X)), self.classes].sum())

    def gradient(self, x):
        """Backpropagation."""
        a, log_p = self.forward(x)
        d = np.exp(log_p)
        d[np.arange(len(self.X)), self.classes] -= 1.0
        e = (d @ x["out"]["W"].T) * (1.0 - a**2)
        return {
            "hidden": {"W": self.X.T @ e, "b": e.sum(axis=0)},
            "out": {"W": a.T @ d, "b": d.sum(axis=0)},
        }


@pardiff.problem
def digits_chain():
    """2,410 parameters: a chain says what a changed weight reaches, and every block checks it against the loss."""
    X, classes = load_digits()
    rng = np.random.default_rng(1)
    x0 = {
        "hidden": {"W": 0.2 * rng.normal(size=(64, 32)), "b": 0.1 * rng.normal(size=32)},
        "out": {"W": 0.2 * rng.normal(size=(32, 10)), "b": 0.1 * rng.normal(size=10)},
    }
    network = Network(X, classes)
    chain = pardiff.Chain(
        [
            pardiff.Affine("hidden/W", "hidden/b"),
            pardiff.Elementwise(np.tanh),
            pardiff.Affine("out/W", "out/b"),
        ],
        loss=pardiff.SoftmaxCrossEntropy(classes),
        inputs=X,
    )
    return pardiff.Problem(network, network.gradient, x0, incremental=chain)


def rosenbrock(x):
    """The chained Rosenbrock function."""
    return float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))


def rosenbrock_gradient(x):
    """Its gradient."""
    g = np.zeros_like(x)
    r = x[1:] - x[:-1] ** 2
    g[:-1] = -400.0 * x[:-1] * r - 2.0 * (1.0 - x[:-1])
    g[1:] += 200.0 * r
    return g


class Neighbours:
    """Changes of the chained Rosenbrock function: a coordinate is in the terms of its own number and the one before."""

    def prepare(self, x):
        """What evaluates changes from x."""
        return NeighboursAt(x)


class NeighboursAt:
    """The same, at a point."""

    def __init__(self, x):
        self.x = x

    def term(self, i, here, after):
        """Term i; there is none before the first, nor for the last coordinate."""
        there = (i >= 0) & (i < len(self.x) - 1)
        return np.where(there, 100.0 * (after - here**2) ** 2 + (1.0 - here) ** 2, 0.0)

    def changes(self, array, index, displacement):
        """Changes, and the size of the terms that change."""
        i, last = index[:, None], len(self.x) - 1
        here, moved = self.x[i], self.x[i] + displacement
        before, after = self.x[np.maximum(i - 1, 0)], self.x[np.minimum(i + 1, last)]
        own = self.term(i, moved, after), self.term(i, here, after)
        other = self.term(i - 1, before, moved), self.term(i - 1, before, here)
        size = np.abs(own[0]) + np.abs(own[1]) + np.abs(other[0]) + np.abs(other[1])
        return (own[0] - own[1]) + (other[0] - other[1]), size


@pardiff.problem
def rosenbrock_neighbours():
    """20,000 parameters, of which each is in two terms."""
    x0 = np.random.default_rng(1).uniform(-1.5, 1.5, 20_000)
    return pardiff.Problem(rosenbrock, rosenbrock_gradient, x0, incremental=Neighbours(), rtol=1e-5)


def ridge_batch(w, X, y):
    """Regularised least squares of many weights at once, w of shape (B, n): one matrix product for all of them."""
    r = y - w @ X.T
    return np.sum(r**2, axis=1) + 0.1 * np.sum(w**2, axis=1)


def ridge_gradient(w, X, y):
    """Its gradient at one of them."""
    return -2.0 * X.T @ (y - X @ w) + 0.2 * w


@pardiff.problem
def ridge_in_batches():
    """2,000 parameters; fun is made from batch_fun, and the best size of a batch is found by timing."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 2000)), rng.normal(size=300)
    return pardiff.Problem(batch_fun=ridge_batch, grad=ridge_gradient, x0=0.1 * rng.normal(size=2000), args=(X, y))


if __name__ == "__main__":
    from pardiff.cli import main

    main(["run", __file__])
