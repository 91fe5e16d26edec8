"""Models of machine learning without time: layers and networks."""

from itertools import pairwise

import numpy as np

from benchmarks.diagnosis.model import Model, cross_entropy, one_hot, sigmoid, softmax, softplus, tape


def mlp(seed=0, n=50, sizes=(6, 12, 9, 4)):
    """Three layers: tanh, softplus, and squared error."""
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[3]))

    def forward(x):
        Z1 = X @ x["W1"] + x["b1"]
        H1 = np.tanh(Z1)
        Z2 = H1 @ x["W2"] + x["b2"]
        H2 = softplus(Z2)
        R = H2 @ x["W3"] + x["b3"] - Y
        return tape(X=X, Y=Y, n=n, Z1=Z1, H1=H1, Z2=Z2, H2=H2, R=R, loss=np.sum(R**2) / n)

    def backward(x, t):
        t.dR = 2 * t.R / n
        t.dH2 = t.dR @ x["W3"].T
        t.dZ2 = t.dH2 * sigmoid(t.Z2)
        t.dH1 = t.dZ2 @ x["W2"].T
        t.dZ1 = t.dH1 * (1 - t.H1**2)
        return {
            "W1": X.T @ t.dZ1,
            "b1": t.dZ1.sum(axis=0),
            "W2": t.H1.T @ t.dZ2,
            "b2": t.dZ2.sum(axis=0),
            "W3": t.H2.T @ t.dR,
            "b3": t.dR.sum(axis=0),
        }

    x0 = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        x0[f"W{layer}"] = rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)
        x0[f"b{layer}"] = rng.normal(size=outputs) * 0.3
    return Model("mlp", forward, backward, x0)


def conv2d(seed=0, n=6, channels=3, filters=4, height=8, width=9):
    """A layer of 3 × 3 filters without padding, tanh, and a linear readout of every pixel."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, channels, height, width))
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(2, 3))
    y = rng.normal(size=n)

    def forward(x):
        Z = np.einsum("ncijab,fcab->nfij", windows, x["K"]) + x["bias"][:, None, None]
        H = np.tanh(Z)
        r = np.einsum("nfij,fij->n", H, x["R"]) - y
        return tape(windows=windows, images=images, y=y, n=n, Z=Z, H=H, r=r, loss=0.5 * np.sum(r**2) / n)

    def backward(x, t):
        t.dr = t.r / n
        t.dH = t.dr[:, None, None, None] * x["R"]
        t.dZ = t.dH * (1 - t.H**2)
        return {
            "K": np.einsum("ncijab,nfij->fcab", windows, t.dZ),
            "bias": t.dZ.sum(axis=(0, 2, 3)),
            "R": np.einsum("nfij,n->fij", t.H, t.dr),
        }

    x0 = {
        "K": rng.normal(size=(filters, channels, 3, 3)) * 0.3,
        "bias": rng.normal(size=filters) * 0.3,
        "R": rng.normal(size=(filters, height - 2, width - 2)) * 0.4,
    }
    return Model("conv2d", forward, backward, x0)


def conv1d(seed=0, n=12, length=20, channels=3, filters=5, width=5):
    """A convolution (with the kernel flipped), softplus, the mean over time, and classes."""
    rng = np.random.default_rng(seed)
    signals, c = rng.normal(size=(n, channels, length)), rng.integers(4, size=n)
    windows = np.lib.stride_tricks.sliding_window_view(signals, width, axis=2)

    def forward(x):
        Z = np.einsum("nctk,fck->nft", windows, x["K"][:, :, ::-1]) + x["bias"][:, None]
        M = softplus(Z).mean(axis=2)
        S = M @ x["V"]
        return tape(windows=windows, c=c, n=n, Z=Z, M=M, S=S, loss=cross_entropy(S, c) / n)

    def backward(x, t):
        t.dS = (softmax(t.S) - one_hot(c, 4)) / n
        t.dM = t.dS @ x["V"].T
        t.dZ = sigmoid(t.Z) * t.dM[:, :, None] / t.Z.shape[2]
        K = np.einsum("nctk,nft->fck", windows, t.dZ)[:, :, ::-1]
        return {"K": K.copy(), "bias": t.dZ.sum(axis=(0, 2)), "V": t.M.T @ t.dS}

    x0 = {
        "K": rng.normal(size=(filters, channels, width)) * 0.4,
        "bias": rng.normal(size=filters) * 0.5,
        "V": rng.normal(size=(filters, 4)),
    }
    return Model("conv1d", forward, backward, x0)


def normaliser(name, axis):
    """A model that normalises its input, itself a parameter, along an axis, with a gain and a shift per feature."""

    def make(seed=0, rows=16, features=11, outputs=6):
        rng = np.random.default_rng(seed)
        C = rng.normal(size=(rows, outputs))
        size = rows if axis == 0 else features

        def forward(x):
            centred = x["input"] - x["input"].mean(axis=axis, keepdims=True)
            deviation = np.sqrt(np.mean(centred**2, axis=axis, keepdims=True) + 1e-3)
            N = centred / deviation
            A = N * x["gain"] + x["shift"]
            H = np.tanh(A @ x["W"])
            t = tape(C=C, size=size, axis=axis, centred=centred, deviation=deviation, N=N, A=A, H=H)
            t.loss = np.sum(C * H)
            return t

        def backward(x, t):
            t.dZ = C * (1 - t.H**2)
            t.dA = t.dZ @ x["W"].T
            t.dN = t.dA * x["gain"]
            t.mean_dN = t.dN.mean(axis=axis, keepdims=True)
            t.mean_NdN = np.mean(t.N * t.dN, axis=axis, keepdims=True)
            return {
                "input": (t.dN - t.mean_dN - t.N * t.mean_NdN) / t.deviation,
                "gain": np.sum(t.dA * t.N, axis=0),
                "shift": t.dA.sum(axis=0),
                "W": t.A.T @ t.dZ,
            }

        x0 = {
            "input": rng.normal(size=(rows, features)) * 1.7 + 0.4,
            "gain": 1 + 0.4 * rng.normal(size=features),
            "shift": rng.normal(size=features) * 0.4,
            "W": rng.normal(size=(features, outputs)) * 0.4,
        }
        return Model(name, forward, backward, x0)

    return make


layer_norm = normaliser("layer_norm", 1)
batch_norm = normaliser("batch_norm", 0)


def autoencoder(seed=0, n=30, size=10, hidden=6):
    """Encoder and decoder share their weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, size))

    def forward(x):
        H = np.tanh(X @ x["W"] + x["b"])
        R = H @ x["W"].T + x["c"] - X
        return tape(X=X, n=n, H=H, R=R, loss=0.5 * np.sum(R**2) / n)

    def backward(x, t):
        t.dR = t.R / n
        t.dH = t.dR @ x["W"]
        t.dZ = t.dH * (1 - t.H**2)
        return {"W": X.T @ t.dZ + t.dR.T @ t.H, "b": t.dZ.sum(axis=0), "c": t.dR.sum(axis=0)}

    x0 = {"W": rng.normal(size=(size, hidden)) * 0.4, "b": rng.normal(size=hidden), "c": rng.normal(size=size)}
    return Model("autoencoder", forward, backward, x0)


def embedding(seed=0, n=14, words=3, vocabulary=40, size=6, classes=4):
    """Words by table, their places added, tanh, the sum over the places, and classes; some words occur often."""
    rng = np.random.default_rng(seed)
    tokens = rng.permutation(vocabulary)[np.minimum(np.arange(n * words), vocabulary - 1)].reshape(n, words)
    tokens[n // 2 :, words - 1] = tokens[0, 0]
    c = rng.integers(classes, size=n)

    def forward(x):
        H = np.tanh(x["table"][tokens] + x["places"])
        B = H.sum(axis=1)
        S = B @ x["V"]
        return tape(tokens=tokens, c=c, n=n, H=H, B=B, S=S, loss=cross_entropy(S, c))

    def backward(x, t):
        t.dS = softmax(t.S) - one_hot(c, classes)
        t.dB = t.dS @ x["V"].T
        t.dH = (1 - t.H**2) * t.dB[:, None]
        table = np.zeros_like(x["table"])
        np.add.at(table, tokens, t.dH)
        return {"table": table, "places": t.dH.sum(axis=0), "V": t.B.T @ t.dS}

    x0 = {
        "table": rng.normal(size=(vocabulary, size)) * 0.7,
        "places": rng.normal(size=(words, size)) * 0.7,
        "V": rng.normal(size=(size, classes)),
    }
    return Model("embedding", forward, backward, x0)
