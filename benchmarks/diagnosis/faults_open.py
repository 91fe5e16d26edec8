"""The faults by which the rules of the diagnosis may be developed."""

import numpy as np

from benchmarks.diagnosis.fault import Fault, planter
from benchmarks.diagnosis.matrices import (
    bilinear_form,
    bilinear_layer,
    cholesky,
    components,
    mahalanobis,
)
from benchmarks.diagnosis.model import sigmoid
from benchmarks.diagnosis.networks import autoencoder, batch_norm, conv1d, conv2d, embedding, layer_norm, mlp
from benchmarks.diagnosis.regression import (
    gaussian,
    mixture,
    poisson,
    polynomial,
    ridge,
    robust,
    softmax_regression,
)
from benchmarks.diagnosis.sequences import attention, gated, heat, rnn

FAULTS: list[Fault] = []
plant = planter(FAULTS)


@plant(robust(zeros=4), "w", "nonfinite")
def l1_slope_as_quotient(g, t, x):
    with np.errstate(invalid="ignore"):
        g["w"] = t.X.T @ t.dr + t.l1 * x["w"] / np.abs(x["w"])


@plant(autoencoder(), "c", "detached")
def output_bias_forgotten(g, t, x):
    g["c"] = np.zeros_like(x["c"])


@plant(heat(), "source", "zero")
def border_of_source_not_filled(g, t, x):
    source = np.zeros_like(g["source"])
    source[1:-1, 1:-1] = g["source"][1:-1, 1:-1]
    g["source"] = source


@plant(rnn(), "Wh", "zero", where="Wh[4:, :]")
def last_chunk_of_rows_not_processed(g, t, x):
    Wh, chunk = np.zeros_like(x["Wh"]), 4
    for start in range(0, len(Wh) - chunk + 1, chunk):
        Wh[start : start + chunk] = g["Wh"][start : start + chunk]
    g["Wh"] = Wh


@plant(poisson(seed=2), "u", "zero")
def projected_on_positive_effects(g, t, x):
    g["u"] = np.where(x["u"] > 0, g["u"], 0.0)


@plant(gaussian(), "mu", "sign")
def derivative_by_data_instead_of_mean(g, t, x):
    g["mu"] = np.sum(t.Z / t.scale, axis=0)


@plant(softmax_regression(decay=0.0), "W", "sign", where="W[:, 2]")
def one_class_with_wrong_sign(g, t, x):
    dS = t.dS.copy()
    dS[:, 2] = (t.Y - t.P)[:, 2] / t.n
    g["W"] = t.X.T @ dS


@plant(mlp(), "W3", "factor")
def factor_two_of_square_forgotten(g, t, x):
    g["W3"] = t.H2.T @ t.R / t.n


@plant(ridge(), "b", "factor")
def degrees_of_freedom_instead_of_count(g, t, x):
    g["b"] = t.R.sum(axis=0) / (t.n - 1)


@plant(attention(), "Wk", "factor")
def scaled_by_root_of_head_twice(g, t, x):
    g["Wk"] = t.X.T @ t.dK / np.sqrt(t.head)


@plant(conv2d(), "K", "factor", where="K[:, 1, :, :]")
def one_channel_scaled(g, t, x):
    windows = t.windows.copy()
    windows[:, 1] /= 255
    g["K"] = np.einsum("ncijab,nfij->fcab", windows, t.dZ)


@plant(rnn(seed=3), "Wx", "clipped")
def clipped_by_value(g, t, x):
    g["Wx"] = np.clip(g["Wx"], -1.0, 1.0)


@plant(polynomial(), "x", "absolute")
def absolute_slope(g, t, x):
    return np.abs(g)


@plant(attention(), "", "swapped")
def queries_and_keys_swapped(g, t, x):
    g["Wq"], g["Wk"] = t.X.T @ t.dK, t.X.T @ t.dQ


@plant(heat(seed=2), "", "swapped")
def returned_in_wrong_order(g, t, x):
    g["u0"], g["source"] = g["source"], g["u0"]


@plant(bilinear_form(), "P", "transposed")
def outer_product_the_wrong_way(g, t, x):
    g["P"] = (t.dq[:, None] * t.B).T @ t.D


@plant(bilinear_layer(), "T", "transposed")
def indices_of_tensor_permuted(g, t, x):
    g["T"] = np.einsum("ni,nj,nk->ikj", t.A, t.B, t.dZ)


@plant(conv1d(), "K", "flipped")
def correlation_instead_of_convolution(g, t, x):
    g["K"] = np.einsum("nctk,nft->fck", t.windows, t.dZ)


@plant(polynomial(seed=1), "x", "shifted")
def powers_off_by_one(g, t, x):
    return np.append(g[1:], 0.0)


@plant(conv2d(seed=1), "R", "shifted")
def readout_rows_off_by_one(g, t, x):
    g["R"] = np.roll(g["R"], 1, axis=1)


@plant(mlp(seed=1), "W1", "reordered")
def flattened_by_columns(g, t, x):
    g["W1"] = g["W1"].ravel(order="F").reshape(x["W1"].shape)


@plant(layer_norm(), "input", "permuted")
def rows_left_in_shuffled_order(g, t, x):
    g["input"] = g["input"][np.random.default_rng(5).permutation(len(g["input"]))]


@plant(mahalanobis(), "M", "symmetrised")
def made_symmetric(g, t, x):
    g["M"] = 0.5 * (g["M"] + g["M"].T)


@plant(bilinear_form(seed=1), "P", "triangle")
def lower_triangle_only(g, t, x):
    P = np.zeros_like(x["P"])
    for i in range(len(P)):
        for j in range(i + 1):
            P[i, j] = g["P"][i, j]
    g["P"] = P


@plant(cholesky(), "L", "triangle", "mask")
def upper_triangle_not_cleared(g, t, x):
    g["L"] = t.dL + np.diag(np.diag(t.dL) * (np.diag(t.L) - 1) - t.n)


@plant(autoencoder(seed=1), "b", "precision")
def half_precision(g, t, x):
    g["b"] = t.dZ.sum(axis=0).astype(np.float16).astype(np.float64)


@plant(components(), "W", "precision")
def offset_in_single_precision(g, t, x):
    S = t.S.astype(np.float32) + np.float32(300)
    g["W"] = (np.tanh(S - np.float32(300)) / np.float32(t.n)).astype(float).T @ t.X - np.linalg.inv(x["W"]).T


@plant(embedding(), "table", "slice")
def repeated_words_overwritten(g, t, x):
    table = np.zeros_like(x["table"])
    table[t.tokens] = t.dH
    g["table"] = table


@plant(heat(seed=4), "u0", "slice", where="u0[:, 0]")
def first_column_from_wrong_time(g, t, x):
    g["u0"][:, 0] = t.adjoints[3][:, 0]


@plant(cholesky(seed=1), "L", "mask")
def chain_factor_of_diagonal_forgotten(g, t, x):
    g["L"] = np.tril(t.dL) - t.n * np.eye(len(t.L))


@plant(robust(seed=2), "w", "mask")
def other_residual_for_negative_weights(g, t, x):
    g["w"] = np.where(x["w"] < 0, t.X.T @ t.r - t.l1, g["w"])


@plant(ridge(seed=1, decay=0.0), "W", "slice_factor")
def scales_of_features_forgotten(g, t, x):
    g["W"] = (t.X / t.X.std(axis=0)).T @ t.dR


@plant(mixture(), "mu", "slice_factor")
def divided_by_mass_of_component(g, t, x):
    g["mu"] = g["mu"] / t.P.sum(axis=0)[:, None]


@plant(ridge(), "W", "proportional")
def weight_decay_forgotten(g, t, x):
    g["W"] = t.X.T @ t.dR


@plant(softmax_regression(seed=1), "W", "proportional")
def factor_two_of_weight_decay(g, t, x):
    g["W"] = t.X.T @ t.dS + 2 * t.decay * x["W"]


@plant(robust(seed=1), "w", "proportional")
def l1_slope_forgotten(g, t, x):
    g["w"] = t.X.T @ t.dr


@plant(gaussian(seed=1), "log_sigma", "chain")
def logarithm_forgotten(g, t, x):
    g["log_sigma"] = t.dsigma


@plant(heat(seed=1), "log_k", "chain", "factor")
def logarithm_of_diffusivity_forgotten(g, t, x):
    g["log_k"] = np.array(t.dk)


@plant(conv2d(seed=2), "bias", "affine")
def constant_added_to_every_slope(g, t, x):
    g["bias"] = g["bias"] + 0.05


@plant(rnn(seed=1), "Wy", "affine")
def standardised(g, t, x):
    g["Wy"] = (g["Wy"] - g["Wy"].mean()) / g["Wy"].std()


@plant(softmax_regression(seed=2), "W", "low_rank")
def last_samples_of_loop_missing(g, t, x):
    W = t.decay * x["W"]
    for start in range(0, t.n - 3, 29):
        W = W + t.X[start : start + 29].T @ t.dS[start : start + 29]
    g["W"] = W


@plant(mlp(seed=2), "W2", "low_rank")
def activations_centred(g, t, x):
    g["W2"] = (t.H1 - t.H1.mean(axis=0)).T @ t.dZ2


@plant(batch_norm(), "input", "normalisation")
def moments_of_batch_as_constants(g, t, x):
    g["input"] = t.dN / t.deviation


@plant(layer_norm(seed=1), "input", "normalisation")
def variance_of_row_as_constant(g, t, x):
    g["input"] = (t.dN - t.mean_dN) / t.deviation


@plant(mlp(seed=3), "b1", "reduction")
def summed_over_everything(g, t, x):
    g["b1"] = np.full_like(x["b1"], t.dZ1.sum())


@plant(mixture(seed=1), "log_sigma", "reduction")
def mean_over_components(g, t, x):
    g["log_sigma"] = np.repeat(g["log_sigma"].mean(axis=0, keepdims=True), len(g["log_sigma"]), axis=0)


@plant(attention(seed=1), "Wv", "centred")
def mean_of_inputs_subtracted(g, t, x):
    g["Wv"] = g["Wv"] - g["Wv"].mean(axis=0)


@plant(ridge(seed=2), "W", "cumulative")
def buffer_not_reset_between_features(g, t, x):
    row = np.zeros(x["W"].shape[1])
    for feature in range(len(x["W"])):
        row = row + t.X[:, feature] @ t.dR + t.decay * x["W"][feature]
        g["W"][feature] = row


@plant(robust(seed=3, zeros=12, l1=0.4), "w", "kink", "mask", "zero")
def slope_at_zero_set_to_zero(g, t, x):
    g["w"] = np.where(x["w"] == 0, 0.0, g["w"])


@plant(bilinear_layer(seed=1), "T", "elements")
def leftover_of_a_test(g, t, x):
    g["T"][2, 4, 1] += 0.01


@plant(autoencoder(seed=2), "W", "unstructured")
def use_in_decoder_forgotten(g, t, x):
    g["W"] = t.X.T @ t.dZ


@plant(components(seed=1), "W", "mask")
def inverse_not_transposed(g, t, x):
    g["W"] = t.dS.T @ t.X - np.linalg.inv(x["W"])


@plant(rnn(seed=4, n=7), "b", "unstructured")
def bias_summed_along_wrong_axis(g, t, x):
    g["b"] = sum(dZ.sum(axis=1) for dZ in t.dZ)


@plant(conv1d(seed=1), "V", "unstructured")
def batch_shuffled_against_errors(g, t, x):
    g["V"] = t.M[np.random.default_rng(3).permutation(len(t.M))].T @ t.dS


@plant(conv2d(seed=3), "", "common_factor")
def mean_over_batch_forgotten(g, t, x):
    return {name: value * t.n for name, value in g.items()}


@plant(gated(), "", "common_factor")
def clipped_by_norm(g, t, x):
    norm = np.sqrt(sum(np.sum(value**2) for part in g.values() for value in part.values()))
    return {part: {name: value / norm for name, value in g[part].items()} for part in g}


@plant(mlp(seed=4), "", "upstream")
def softplus_slope_of_the_output(g, t, x):
    dZ2 = t.dH2 * sigmoid(t.H2)
    dZ1 = dZ2 @ x["W2"].T * (1 - t.H1**2)
    g["W2"], g["b2"] = t.H1.T @ dZ2, dZ2.sum(axis=0)
    g["W1"], g["b1"] = t.X.T @ dZ1, dZ1.sum(axis=0)


@plant(conv1d(seed=2), "", "upstream")
def softplus_slope_of_other_sign(g, t, x):
    dZ = sigmoid(-t.Z) * t.dM[:, :, None] / t.Z.shape[2]
    g["K"] = np.einsum("nctk,nft->fck", t.windows, dZ)[:, :, ::-1].copy()
    g["bias"] = dZ.sum(axis=(0, 2))


@plant(rnn(seed=2), "", "upstream")
def recurrent_weights_not_transposed(g, t, x):
    g["Wx"], g["Wh"], g["b"] = (np.zeros_like(x[name]) for name in ("Wx", "Wh", "b"))
    back = np.zeros_like(t.H[0])
    for step in reversed(range(t.steps)):
        dZ = (back + t.dR[step] @ x["Wy"].T) * (1 - t.H[step + 1] ** 2)
        g["Wx"] += t.X[step].T @ dZ
        g["Wh"] += t.H[step].T @ dZ
        g["b"] += dZ.sum(axis=0)
        back = dZ @ x["Wh"]
    g["h0"] = back.sum(axis=0)
