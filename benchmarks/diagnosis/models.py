"""All models, and the many instances of them without a fault."""

from collections.abc import Iterator

from benchmarks.diagnosis import matrices, networks, regression, sequences
from benchmarks.diagnosis.model import Model

SIZES = {
    regression.ridge: ({}, {"n": 7, "features": 3, "outputs": 1, "decay": 2.0}),
    regression.softmax_regression: ({}, {"n": 9, "features": 20, "classes": 3}),
    regression.gaussian: ({}, {"n": 8, "size": 1}),
    regression.mixture: ({}, {"n": 30, "kinds": 2, "size": 9}),
    regression.poisson: ({}, {"n": 30, "features": 2, "groups": 5}),
    regression.robust: ({}, {"n": 30, "features": 9, "l1": 2.0}),
    regression.polynomial: ({}, {"n": 40, "degree": 4}),
    networks.mlp: ({}, {"n": 5, "sizes": (3, 20, 4, 1)}),
    networks.conv2d: ({}, {"n": 2, "channels": 1, "filters": 6, "height": 5, "width": 4}),
    networks.conv1d: ({}, {"n": 5, "length": 11, "channels": 4, "filters": 4, "width": 4}),
    networks.layer_norm: ({}, {"rows": 5, "features": 5, "outputs": 2}),
    networks.batch_norm: ({}, {"rows": 30, "features": 3, "outputs": 3}),
    networks.autoencoder: ({}, {"n": 4, "size": 6, "hidden": 6}),
    networks.embedding: ({}, {"n": 20, "words": 5, "vocabulary": 12, "size": 12}),
    sequences.rnn: ({}, {"steps": 4, "n": 1, "inputs": 5, "hidden": 5}),
    sequences.gated: ({}, {"steps": 3, "n": 3, "inputs": 7, "hidden": 3}),
    sequences.attention: ({}, {"length": 5, "size": 5, "head": 5}),
    sequences.heat: ({}, {"height": 6, "width": 6, "steps": 5}),
    matrices.bilinear_form: ({}, {"n": 6, "size": 12}),
    matrices.mahalanobis: ({}, {"n": 9, "size": 3}),
    matrices.factors: ({}, {"shape": (5, 5, 5), "rank": 1}),
    matrices.bilinear_layer: ({}, {"n": 20, "left": 4, "right": 9, "outputs": 2}),
    matrices.cholesky: ({}, {"n": 10, "size": 4}),
    matrices.components: ({}, {"n": 8, "size": 5}),
}
"""Sizes of the instances of every model; the first are those with faults."""


def instances(seeds: int = 2) -> Iterator[Model]:
    """Every model at every size, with so many seeds each."""
    for factory, sizes in SIZES.items():
        for size in sizes:
            for seed in range(seeds):
                yield factory(seed=seed, **size)
