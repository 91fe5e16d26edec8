"""Some of the functions in torch, of a flat vector."""

import torch

from benchmarks.speed.workloads import LeastSquares, Perceptron, Rosenbrock, Softmax


def of(function):
    """The same function in torch; None where it has not been written."""
    if isinstance(function, LeastSquares):
        X, y = map(torch.tensor, function.data)
        return lambda w: torch.sum((y - X @ w) ** 2)
    if isinstance(function, Rosenbrock):
        return lambda x: torch.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
    if isinstance(function, Softmax):
        X, y = map(torch.tensor, function.data)

        def softmax(v):
            return torch.nn.functional.cross_entropy(X @ v[:640].reshape(64, 10) + v[640:], y, reduction="sum")

        return softmax
    if isinstance(function, Perceptron):
        X, y = map(torch.tensor, function.data)
        shapes = [array.shape for array in function.x0.values()]

        def perceptron(v):
            parts = [
                part.reshape(shape)
                for part, shape in zip(v.split([s.numel() for s in map(torch.Size, shapes)]), shapes, strict=True)
            ]
            a = X
            for layer in range(0, len(parts) - 2, 2):
                a = torch.tanh(a @ parts[layer] + parts[layer + 1])
            return torch.nn.functional.cross_entropy(a @ parts[-2] + parts[-1], y, reduction="sum")

        return perceptron
    return None
