"""Models of matrices and tensors: factors, forms, determinants."""

import numpy as np

from benchmarks.diagnosis.model import Model, tape


def bilinear_form(seed=0, n=40, size=9):
    """Distances between pairs with a full, unsymmetric matrix, bounded by a sine."""
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(n, size)), rng.normal(size=(n, size))

    def forward(x):
        D = A - x["m"]
        q = np.sum((D @ x["P"]) * B, axis=1) / size
        return tape(A=A, B=B, n=n, size=size, D=D, q=q, loss=np.sum(np.sin(q)))

    def backward(x, t):
        t.dq = np.cos(t.q) / size
        return {"m": -x["P"] @ (B.T @ t.dq), "P": t.D.T @ (t.dq[:, None] * B)}

    return Model("bilinear_form", forward, backward, {"m": rng.normal(size=size), "P": rng.normal(size=(size, size))})


def mahalanobis(seed=0, n=25, size=8):
    """Squared distances with a full matrix whose asymmetry is penalised."""
    rng = np.random.default_rng(seed)
    Y = rng.normal(size=(n, size)) * np.linspace(0.5, 1.5, size)
    target = rng.normal(size=(size, size))

    def forward(x):
        D = Y - x["centre"]
        loss = 0.5 * np.sum((D @ x["M"]) * D) + np.sum(np.cosh(0.5 * (x["M"] - target)))
        return tape(Y=Y, n=n, D=D, target=target, loss=loss)

    def backward(x, t):
        centre = -0.5 * (x["M"] + x["M"].T) @ t.D.sum(axis=0)
        return {"centre": centre, "M": 0.5 * t.D.T @ t.D + 0.5 * np.sinh(0.5 * (x["M"] - target))}

    x0 = {"centre": rng.normal(size=size), "M": rng.normal(size=(size, size))}
    return Model("mahalanobis", forward, backward, x0)


def factors(seed=0, shape=(8, 9, 7), rank=4, decay=0.2):
    """A tensor of three axes as a sum of outer products, with weight decay."""
    rng = np.random.default_rng(seed)
    Y = rng.normal(size=shape)

    def forward(x):
        E = np.einsum("ir,jr,kr->ijk", x["A"], x["B"], x["C"]) - Y
        loss = 0.5 * np.sum(E**2) + 0.5 * decay * sum(np.sum(x[name] ** 2) for name in "ABC")
        return tape(Y=Y, decay=decay, E=E, loss=loss)

    def backward(x, t):
        return {
            "A": np.einsum("ijk,jr,kr->ir", t.E, x["B"], x["C"]) + decay * x["A"],
            "B": np.einsum("ijk,ir,kr->jr", t.E, x["A"], x["C"]) + decay * x["B"],
            "C": np.einsum("ijk,ir,jr->kr", t.E, x["A"], x["B"]) + decay * x["C"],
        }

    x0 = {name: rng.normal(size=(length, rank)) for name, length in zip("ABC", shape, strict=True)}
    return Model("factors", forward, backward, x0)


def bilinear_layer(seed=0, n=60, left=6, right=6, outputs=6):
    """z_k = aᵀ T_k b, tanh, weighted sum; the tensor is a cube unless sizes say otherwise."""
    rng = np.random.default_rng(seed)
    A, B, y = rng.normal(size=(n, left)), rng.normal(size=(n, right)), rng.normal(size=n)

    def forward(x):
        H = np.tanh(np.einsum("ni,nj,ijk->nk", A, B, x["T"]) + x["b"])
        r = H @ x["v"] - y
        return tape(A=A, B=B, y=y, n=n, H=H, r=r, loss=0.5 * np.mean(r**2))

    def backward(x, t):
        t.dr = t.r / n
        t.dZ = np.outer(t.dr, x["v"]) * (1 - t.H**2)
        return {"T": np.einsum("ni,nj,nk->ijk", A, B, t.dZ), "b": t.dZ.sum(axis=0), "v": t.H.T @ t.dr}

    T, b, v = rng.normal(size=(left, right, outputs)) * 0.2, rng.normal(size=outputs) * 0.3, rng.normal(size=outputs)
    return Model("bilinear_layer", forward, backward, {"T": T, "b": b, "v": v})


def cholesky(seed=0, n=40, size=8):
    """Normal log-likelihood by the Cholesky factor of the precision: the lower triangle, its diagonal a logarithm."""
    rng = np.random.default_rng(seed)
    Y = rng.normal(size=(n, size))

    def forward(x):
        L = np.tril(x["L"], -1) + np.diag(np.exp(np.diag(x["L"])))
        D = Y - x["mean"]
        Z = D @ L
        return tape(Y=Y, n=n, L=L, D=D, Z=Z, loss=0.5 * np.sum(Z**2) - n * np.trace(x["L"]))

    def backward(x, t):
        t.dL = t.D.T @ t.Z
        full = np.tril(t.dL, -1) + np.diag(np.diag(t.dL) * np.diag(t.L) - n)
        return {"mean": -(t.Z @ t.L.T).sum(axis=0), "L": full}

    x0 = {"mean": rng.normal(size=size), "L": rng.normal(size=(size, size)) * 0.5}
    return Model("cholesky", forward, backward, x0)


def components(seed=0, n=45, size=9):
    """Independent components: the logarithm of a determinant and of hyperbolic cosines."""
    rng = np.random.default_rng(seed)
    X = rng.laplace(size=(n, size))

    def forward(x):
        S = X @ x["W"].T + x["offset"]
        loss = np.sum(np.logaddexp(S, -S)) / n - np.linalg.slogdet(x["W"])[1]
        return tape(X=X, n=n, S=S, loss=loss)

    def backward(x, t):
        t.dS = np.tanh(t.S) / n
        return {"W": t.dS.T @ X - np.linalg.inv(x["W"]).T, "offset": t.dS.sum(axis=0)}

    x0 = {"W": rng.normal(size=(size, size)) + 2 * np.eye(size), "offset": rng.normal(size=size) * 0.5}
    return Model("components", forward, backward, x0)
