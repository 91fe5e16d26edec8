"""Models of statistics: regressions and likelihoods."""

import numpy as np

from benchmarks.diagnosis.model import Model, cross_entropy, one_hot, softmax, tape


def ridge(seed=0, n=40, features=8, outputs=5, decay=0.3):
    """Linear regression with several outputs and weight decay."""
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(n, features)), rng.normal(size=(n, outputs))

    def forward(x):
        R = X @ x["W"] + x["b"] - Y
        return tape(X=X, Y=Y, n=n, decay=decay, R=R, loss=0.5 * np.sum(R**2) / n + 0.5 * decay * np.sum(x["W"] ** 2))

    def backward(x, t):
        t.dR = t.R / n
        return {"W": X.T @ t.dR + decay * x["W"], "b": t.dR.sum(axis=0)}

    return Model("ridge", forward, backward, {"W": rng.normal(size=(features, outputs)), "b": rng.normal(size=outputs)})


def softmax_regression(seed=0, n=60, features=9, classes=6, decay=0.05):
    """Multinomial logistic regression."""
    rng = np.random.default_rng(seed)
    X, c = rng.normal(size=(n, features)), rng.integers(classes, size=n)

    def forward(x):
        S = X @ x["W"] + x["b"]
        loss = cross_entropy(S, c) / n + 0.5 * decay * np.sum(x["W"] ** 2)
        return tape(X=X, c=c, n=n, decay=decay, S=S, P=softmax(S), Y=one_hot(c, classes), loss=loss)

    def backward(x, t):
        t.dS = (t.P - t.Y) / n
        return {"W": X.T @ t.dS + decay * x["W"], "b": t.dS.sum(axis=0)}

    x0 = {"W": rng.normal(size=(features, classes)), "b": rng.normal(size=classes)}
    return Model("softmax_regression", forward, backward, x0)


def gaussian(seed=0, n=50, size=14):
    """Normal log-likelihood with a mean, the logarithm of a deviation for each feature, and one common log-scale."""
    rng = np.random.default_rng(seed)
    Y = 1 + rng.normal(size=(n, size)) * np.exp(rng.normal(size=size))

    def forward(x):
        scale = np.exp(x["log_sigma"] + x["log_scale"])
        Z = (Y - x["mu"]) / scale
        loss = 0.5 * np.sum(Z**2) + n * np.sum(x["log_sigma"] + x["log_scale"])
        return tape(Y=Y, n=n, scale=scale, Z=Z, loss=loss)

    def backward(x, t):
        t.dsigma = (n - np.sum(t.Z**2, axis=0)) / t.scale
        log_sigma = t.dsigma * t.scale
        return {"mu": -np.sum(t.Z / t.scale, axis=0), "log_sigma": log_sigma, "log_scale": np.array(log_sigma.sum())}

    x0 = {"mu": rng.normal(size=size), "log_sigma": rng.normal(size=size) * 0.7, "log_scale": np.array(0.3)}
    return Model("gaussian", forward, backward, x0)


def mixture(seed=0, n=60, kinds=5, size=4):
    """Mixture of diagonal normal distributions."""
    rng = np.random.default_rng(seed)
    Y = rng.normal(size=(n, size)) * 1.5

    def forward(x):
        inverse = np.exp(-x["log_sigma"])
        Z = (Y[:, None] - x["mu"]) * inverse
        log_prior = x["logits"] - np.log(np.sum(np.exp(x["logits"])))
        joint = log_prior - 0.5 * np.sum(Z**2, axis=2) - x["log_sigma"].sum(axis=1)
        top = joint.max(axis=1)
        loss = -np.sum(top + np.log(np.exp(joint - top[:, None]).sum(axis=1)))
        return tape(Y=Y, n=n, inverse=inverse, Z=Z, P=softmax(joint), prior=np.exp(log_prior), loss=loss)

    def backward(x, t):
        return {
            "logits": n * t.prior - t.P.sum(axis=0),
            "mu": -np.sum(t.P[:, :, None] * t.Z * t.inverse, axis=0),
            "log_sigma": np.sum(t.P[:, :, None] * (1 - t.Z**2), axis=0),
        }

    x0 = {
        "logits": rng.normal(size=kinds),
        "mu": rng.normal(size=(kinds, size)),
        "log_sigma": rng.normal(size=(kinds, size)) * 0.4,
    }
    return Model("mixture", forward, backward, x0)


def poisson(seed=0, n=80, features=10, groups=12):
    """Counts with a random effect of each group, whose precision is a parameter."""
    rng = np.random.default_rng(seed)
    X, group, y = rng.normal(size=(n, features)) * 0.4, rng.integers(groups, size=n), rng.poisson(2.0, size=n)

    def forward(x):
        rate = np.exp(X @ x["w"] + x["u"][group])
        precision = np.exp(x["log_tau"])
        loss = np.sum(rate) - np.sum(y * np.log(rate)) + 0.5 * precision * np.sum(x["u"] ** 2)
        loss = loss - 0.5 * groups * x["log_tau"]
        return tape(X=X, group=group, y=y, groups=groups, rate=rate, precision=precision, loss=loss)

    def backward(x, t):
        t.deta = t.rate - y
        return {
            "w": X.T @ t.deta,
            "u": np.bincount(group, t.deta, groups) + t.precision * x["u"],
            "log_tau": np.array(0.5 * t.precision * np.sum(x["u"] ** 2) - 0.5 * groups),
        }

    x0 = {"w": rng.normal(size=features), "u": rng.normal(size=groups) * 0.8, "log_tau": np.array(0.4)}
    return Model("poisson", forward, backward, x0)


def robust(seed=0, n=70, features=40, delta=0.8, l1=0.6, zeros=0):
    """Huber regression with an L1 penalty; so many weights as asked for are at the kink, zero."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, features)) / 3
    y = rng.normal(size=n) * 2

    def forward(x):
        r = X @ x["w"] + x["intercept"] - y
        inner = np.abs(r) <= delta
        terms = np.where(inner, 0.5 * r**2, delta * (np.abs(r) - 0.5 * delta))
        return tape(X=X, y=y, delta=delta, l1=l1, r=r, inner=inner, loss=np.sum(terms) + l1 * np.sum(np.abs(x["w"])))

    def backward(x, t):
        t.dr = np.clip(t.r, -delta, delta)
        return {"w": X.T @ t.dr + l1 * np.sign(x["w"]), "intercept": np.array([t.dr.sum()])}

    w = rng.normal(size=features)
    w[:zeros] = 0
    return Model("robust", forward, backward, {"w": w, "intercept": np.array([0.7])})


def polynomial(seed=0, n=90, degree=15):
    """Chebyshev series fitted with a Cauchy loss and a penalty on roughness; one plain array."""
    rng = np.random.default_rng(seed)
    B = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, n), degree)
    y = np.sin(3 * np.linspace(-1, 1, n)) + 0.3 * rng.normal(size=n)
    rough = 0.02 * np.arange(degree + 1.0) ** 2

    def forward(x):
        r = B @ x - y
        return tape(B=B, y=y, rough=rough, r=r, loss=np.sum(np.log1p(r**2)) + 0.5 * np.sum(rough * x**2))

    def backward(x, t):
        t.dr = 2 * t.r / (1 + t.r**2)
        return B.T @ t.dr + rough * x

    return Model("polynomial", forward, backward, rng.normal(size=degree + 1))
