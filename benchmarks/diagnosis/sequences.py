"""Models with time or places: recurrences, attention and a differential equation."""

import numpy as np

from benchmarks.diagnosis.model import Model, sigmoid, softmax, tape


def rnn(seed=0, steps=9, n=6, inputs=4, hidden=7, outputs=3):
    """A recurrence with tanh, read out at every step."""
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(steps, n, inputs)), rng.normal(size=(steps, n, outputs))

    def forward(x):
        H = [np.tile(x["h0"], (n, 1))]
        for step in range(steps):
            H.append(np.tanh(X[step] @ x["Wx"] + H[-1] @ x["Wh"] + x["b"]))
        R = np.stack(H[1:]) @ x["Wy"] - Y
        return tape(X=X, Y=Y, n=n, steps=steps, H=H, R=R, loss=0.5 * np.sum(R**2) / n)

    def backward(x, t):
        g = {name: np.zeros_like(value) for name, value in x.items()}
        t.dR, t.dZ = t.R / n, [None] * steps
        back = np.zeros_like(t.H[0])
        for step in reversed(range(steps)):
            g["Wy"] += t.H[step + 1].T @ t.dR[step]
            t.dZ[step] = dZ = (back + t.dR[step] @ x["Wy"].T) * (1 - t.H[step + 1] ** 2)
            g["Wx"] += X[step].T @ dZ
            g["Wh"] += t.H[step].T @ dZ
            g["b"] += dZ.sum(axis=0)
            back = dZ @ x["Wh"].T
        g["h0"] += back.sum(axis=0)
        return g

    x0 = {
        "h0": rng.normal(size=hidden) * 0.5,
        "Wx": rng.normal(size=(inputs, hidden)) * 0.5,
        "Wh": rng.normal(size=(hidden, hidden)) / np.sqrt(hidden),
        "b": rng.normal(size=hidden) * 0.3,
        "Wy": rng.normal(size=(hidden, outputs)) * 0.5,
    }
    return Model("rnn", forward, backward, x0)


def gated(seed=0, steps=7, n=8, inputs=4, hidden=6):
    """A recurrence with one gate, h ← z h + (1 − z) tanh(...); nested parameters."""
    rng = np.random.default_rng(seed)
    X, C = rng.normal(size=(steps, n, inputs)), rng.normal(size=(n, hidden))

    def forward(x):
        gate, cell = x["gate"], x["cell"]
        H, Z, A = [np.zeros((n, hidden))], [], []
        for step in range(steps):
            Z.append(sigmoid(X[step] @ gate["W"] + H[-1] @ gate["U"] + gate["b"]))
            A.append(np.tanh(X[step] @ cell["W"] + H[-1] @ cell["U"] + cell["b"]))
            H.append(Z[-1] * H[-1] + (1 - Z[-1]) * A[-1])
        return tape(X=X, C=C, n=n, steps=steps, H=H, Z=Z, A=A, loss=np.sum(C * H[-1]))

    def backward(x, t):
        g = {part: {name: np.zeros_like(value) for name, value in x[part].items()} for part in x}
        back, t.dA, t.dZ = C.copy(), [None] * steps, [None] * steps
        for step in reversed(range(steps)):
            h, z, a = t.H[step], t.Z[step], t.A[step]
            t.dZ[step] = back * (h - a) * z * (1 - z)
            t.dA[step] = back * (1 - z) * (1 - a**2)
            for part, d in (("gate", t.dZ[step]), ("cell", t.dA[step])):
                g[part]["W"] += X[step].T @ d
                g[part]["U"] += h.T @ d
                g[part]["b"] += d.sum(axis=0)
            back = back * z + t.dZ[step] @ x["gate"]["U"].T + t.dA[step] @ x["cell"]["U"].T
        return g

    def part():
        W, U = rng.normal(size=(inputs, hidden)), rng.normal(size=(hidden, hidden))
        return {"W": W * 0.7, "U": U * 0.5, "b": rng.normal(size=hidden) * 0.3}

    return Model("gated", forward, backward, {"gate": part(), "cell": part()})


def attention(seed=0, length=12, size=8, head=6):
    """One head with a causal mask, over a fixed sequence."""
    rng = np.random.default_rng(seed)
    X, C = rng.normal(size=(length, size)), rng.normal(size=(length, size))
    seen = np.tril(np.ones((length, length), dtype=bool))

    def forward(x):
        Q, K, V = X @ x["Wq"], X @ x["Wk"], X @ x["Wv"]
        P = softmax(np.where(seen, Q @ K.T / np.sqrt(head), -1e30))
        O = P @ V
        T = np.tanh(O @ x["Wo"])
        return tape(X=X, C=C, head=head, seen=seen, Q=Q, K=K, V=V, P=P, O=O, T=T, loss=np.sum(C * T))

    def backward(x, t):
        t.dT = C * (1 - t.T**2)
        t.dO = t.dT @ x["Wo"].T
        t.dV = t.P.T @ t.dO
        t.dP = t.dO @ t.V.T
        t.dS = t.P * (t.dP - np.sum(t.P * t.dP, axis=1, keepdims=True)) / np.sqrt(head)
        t.dQ, t.dK = t.dS @ t.K, t.dS.T @ t.Q
        return {"Wq": X.T @ t.dQ, "Wk": X.T @ t.dK, "Wv": X.T @ t.dV, "Wo": t.O.T @ t.dT}

    shapes = {"Wq": (size, head), "Wk": (size, head), "Wv": (size, head), "Wo": (head, size)}
    return Model("attention", forward, backward, {name: rng.normal(size=shapes[name]) * 0.4 for name in shapes})


def laplacian(u):
    """Five points, no flow through the border; its own transpose."""
    padded = np.pad(u, 1, mode="edge")
    return padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2] - 4 * u


def heat(seed=0, height=10, width=13, steps=12):
    """The heat equation in explicit steps: initial temperature, source and diffusivity from the last temperature."""
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(height, width))

    def forward(x):
        U = [x["u0"]]
        for _ in range(steps):
            U.append(U[-1] + np.exp(x["log_k"]) * laplacian(U[-1]) + 0.1 * x["source"])
        r = U[-1] - target
        return tape(target=target, steps=steps, U=U, r=r, k=np.exp(x["log_k"]), loss=0.5 * np.sum(r**2))

    def backward(x, t):
        adjoint, source, dk = t.r.copy(), np.zeros_like(x["source"]), 0.0
        t.adjoints = [None] * steps + [adjoint]
        for step in reversed(range(steps)):
            source += 0.1 * adjoint
            dk += np.sum(adjoint * laplacian(t.U[step]))
            adjoint = adjoint + t.k * laplacian(adjoint)
            t.adjoints[step] = adjoint
        t.dk = dk
        return {"u0": adjoint.copy(), "source": source, "log_k": np.array(dk * t.k)}

    shape = (height, width)
    x0 = {"u0": rng.normal(size=shape), "source": rng.normal(size=shape), "log_k": np.array(-2.3)}
    return Model("heat", forward, backward, x0)
