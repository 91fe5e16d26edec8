"""The faults that are held back: the same kinds in other places, to see whether the rules of the diagnosis carry."""

import numpy as np

from benchmarks.diagnosis.fault import Fault, planter
from benchmarks.diagnosis.matrices import bilinear_form, bilinear_layer, cholesky, components, factors, mahalanobis
from benchmarks.diagnosis.networks import autoencoder, batch_norm, conv1d, conv2d, embedding, layer_norm, mlp
from benchmarks.diagnosis.regression import gaussian, mixture, poisson, polynomial, ridge, robust, softmax_regression
from benchmarks.diagnosis.sequences import attention, gated, heat, rnn

FAULTS: list[Fault] = []
plant = planter(FAULTS)


@plant(embedding(), "table", "nonfinite")
def mean_over_occurrences_times_their_number(g, t, x):
    with np.errstate(invalid="ignore"):
        occurrences = np.bincount(t.tokens.ravel(), minlength=len(x["table"]))[:, None]
        g["table"] = g["table"] / occurrences * occurrences


@plant(rnn(seed=5), "h0", "detached")
def initial_state_left_as_a_constant(g, t, x):
    g["h0"] = np.zeros_like(x["h0"])


@plant(conv2d(seed=5), "R", "zero", where="R[:, :, 6]")
def last_column_of_loop_missing(g, t, x):
    R = np.zeros_like(x["R"])
    for j in range(R.shape[2] - 1):
        R[:, :, j] = np.einsum("nfi,n->fi", t.H[:, :, :, j], t.dr)
    g["R"] = R


@plant(mlp(seed=5), "W2", "zero", where="W2[::2, :]")
def dropped_units_of_another_mask(g, t, x):
    g["W2"] = (t.H1 * (np.arange(12) % 2)).T @ t.dZ2


@plant(mixture(seed=5), "log_sigma", "zero")
def scales_held_at_lower_bound(g, t, x):
    g["log_sigma"] = np.where(x["log_sigma"] > -0.1, g["log_sigma"], 0.0)


@plant(cholesky(seed=5), "mean", "sign")
def sign_of_inner_derivative(g, t, x):
    g["mean"] = t.L @ t.Z.sum(axis=0)


@plant(factors(seed=5, decay=0.0), "B", "sign", where="B[7, :]")
def target_minus_model_in_one_row(g, t, x):
    E = t.E.copy()
    E[:, 7] = -E[:, 7]
    g["B"] = np.einsum("ijk,ir,kr->jr", E, x["A"], x["C"])


@plant(mahalanobis(seed=5), "centre", "factor")
def factor_half_forgotten(g, t, x):
    g["centre"] = -(x["M"] + x["M"].T) @ t.D.sum(axis=0)


@plant(conv1d(seed=5), "bias", "factor")
def summed_over_time_without_its_length(g, t, x):
    g["bias"] = g["bias"] * t.Z.shape[2]


@plant(batch_norm(seed=5), "gain", "factor")
def unbiased_deviation(g, t, x):
    N = t.centred / (t.deviation * np.sqrt(t.size / (t.size - 1)))
    g["gain"] = np.sum(t.dA * N, axis=0)


@plant(mixture(seed=8), "mu", "factor", where="mu[:, 2]")
def one_feature_in_other_units(g, t, x):
    units = np.array([1.0, 1.0, 1000.0, 1.0])
    g["mu"] = -np.sum(t.P[:, :, None] * t.Z * (t.inverse * units), axis=0)


@plant(gated(seed=5), "cell/U", "clipped")
def kept_within_bounds(g, t, x):
    g["cell"]["U"] = np.minimum(np.maximum(g["cell"]["U"], -0.8), 0.8)


@plant(components(seed=5), "offset", "absolute")
def root_of_square(g, t, x):
    g["offset"] = np.sqrt(g["offset"] ** 2)


@plant(gated(seed=6), "", "swapped")
def biases_of_gate_and_cell_swapped(g, t, x):
    g["gate"]["b"], g["cell"]["b"] = sum(d.sum(axis=0) for d in t.dA), sum(d.sum(axis=0) for d in t.dZ)


@plant(layer_norm(seed=5), "", "swapped")
def gain_and_shift_swapped(g, t, x):
    g["gain"], g["shift"] = t.dA.sum(axis=0), np.sum(t.dA * t.N, axis=0)


@plant(rnn(seed=6), "Wh", "transposed")
def recurrent_weights_the_wrong_way(g, t, x):
    g["Wh"] = sum(dZ.T @ h for h, dZ in zip(t.H[:-1], t.dZ, strict=True))


@plant(conv2d(seed=6), "K", "transposed")
def rows_and_columns_of_filter_exchanged(g, t, x):
    g["K"] = np.einsum("ncijab,nfij->fcba", t.windows, t.dZ)


@plant(polynomial(seed=5), "x", "flipped")
def highest_power_first(g, t, x):
    return t.B[:, ::-1].T @ t.dr + (t.rough * x)[::-1]


@plant(conv2d(seed=7), "K", "flipped")
def filter_turned_round(g, t, x):
    g["K"] = g["K"][:, :, ::-1, ::-1].copy()


@plant(embedding(seed=6), "table", "shifted")
def words_counted_from_one(g, t, x):
    table = np.zeros_like(x["table"])
    np.add.at(table, (t.tokens + 1) % len(table), t.dH)
    g["table"] = table


@plant(heat(seed=5), "u0", "shifted")
def field_moved_by_two_columns(g, t, x):
    u0 = np.zeros_like(x["u0"])
    u0[:, 2:] = g["u0"][:, :-2]
    g["u0"] = u0


@plant(bilinear_layer(seed=5, left=5, right=6, outputs=7), "T", "reordered")
def tensor_in_column_major_order(g, t, x):
    g["T"] = g["T"].reshape(-1).reshape(x["T"].shape, order="F")


@plant(poisson(seed=5), "u", "permuted")
def groups_in_order_of_appearance(g, t, x):
    first = np.argsort([np.flatnonzero(t.group == k)[0] if k in t.group else 99 for k in range(t.groups)])
    g["u"] = g["u"][first]


@plant(components(seed=6), "W", "symmetrised")
def symmetric_part(g, t, x):
    g["W"] = (g["W"] + g["W"].T) / 2


@plant(mahalanobis(seed=6), "M", "triangle")
def upper_triangle_only(g, t, x):
    g["M"] = np.triu(g["M"])


@plant(attention(seed=5, head=8), "Wo", "triangle")
def packed_without_its_diagonal(g, t, x):
    g["Wo"] = np.tril(g["Wo"], -1)


@plant(softmax_regression(seed=5), "b", "precision")
def added_in_half_precision(g, t, x):
    g["b"] = t.dS.astype(np.float16).sum(axis=0).astype(float)


@plant(layer_norm(seed=6), "input", "precision")
def saved_as_half(g, t, x):
    g["input"] = g["input"].astype(np.float16).astype(np.float64)


@plant(gaussian(seed=6), "mu", "slice", where="mu[9:]")
def tail_of_vector_by_old_formula(g, t, x):
    g["mu"][9:] = -np.sum(np.sign(t.Z) / t.scale, axis=0)[9:]


@plant(rnn(seed=7), "Wx", "slice", where="Wx[2, :]")
def one_input_taken_a_step_late(g, t, x):
    g["Wx"][2] = sum(t.X[step - 1][:, 2] @ t.dZ[step] for step in range(1, t.steps))


@plant(components(seed=7), "W", "mask")
def determinant_on_diagonal_only(g, t, x):
    g["W"] = t.dS.T @ t.X - np.diag(1 / np.diag(x["W"])) - (1 - np.eye(len(x["W"]))) * np.linalg.inv(x["W"]).T


@plant(heat(seed=6), "source", "mask")
def red_cells_one_step_behind(g, t, x):
    i, j = np.indices(x["source"].shape)
    g["source"] = np.where((i + j) % 2 == 0, 0.1 * sum(t.adjoints[:-1]), g["source"])


@plant(mixture(seed=6), "log_sigma", "slice_factor")
def natural_step_of_each_component(g, t, x):
    g["log_sigma"] = np.stack([row / (2 * mass) for row, mass in zip(g["log_sigma"], t.P.sum(axis=0), strict=True)])


@plant(factors(seed=6), "C", "slice_factor")
def columns_normalised(g, t, x):
    g["C"] = g["C"] / np.linalg.norm(x["C"], axis=0)


@plant(factors(seed=7), "A", "proportional")
def penalty_of_one_factor_forgotten(g, t, x):
    g["A"] = np.einsum("ijk,jr,kr->ir", t.E, x["B"], x["C"])


@plant(poisson(seed=6), "u", "proportional")
def prior_precision_inverted(g, t, x):
    g["u"] = np.bincount(t.group, t.deta, t.groups) + x["u"] / t.precision


@plant(robust(seed=6), "w", "proportional")
def l1_slope_added_twice(g, t, x):
    g["w"] = g["w"] + t.l1 * np.sign(x["w"])


@plant(mixture(seed=7), "log_sigma", "chain")
def derivative_by_variance(g, t, x):
    g["log_sigma"] = g["log_sigma"] * t.inverse**2 / 2


@plant(gaussian(seed=7), "log_scale", "chain", "factor")
def common_scale_without_logarithm(g, t, x):
    g["log_scale"] = np.array(g["log_scale"] / np.exp(x["log_scale"]))


@plant(mlp(seed=6), "W1", "affine")
def stabiliser_left_in_slope(g, t, x):
    g["W1"] = g["W1"] + 1e-2


@plant(embedding(seed=7), "V", "affine")
def whitened(g, t, x):
    g["V"] = (g["V"] - g["V"].mean() + 0.1) / g["V"].std()


@plant(ridge(seed=6), "W", "low_rank")
def data_centred_in_backward_pass_only(g, t, x):
    g["W"] = (t.X - t.X.mean(axis=0)).T @ t.dR + t.decay * x["W"]


@plant(autoencoder(seed=6), "W", "low_rank")
def first_sample_of_decoder_skipped(g, t, x):
    g["W"] = t.X.T @ t.dZ + t.dR[1:].T @ t.H[1:]


@plant(layer_norm(seed=7), "input", "normalisation")
def moments_of_row_as_constants(g, t, x):
    g["input"] = t.dN / t.deviation


@plant(batch_norm(seed=6), "input", "normalisation")
def deviation_of_batch_detached(g, t, x):
    g["input"] = (t.dN - t.mean_dN) / t.deviation


@plant(batch_norm(seed=7), "shift", "reduction")
def every_axis_summed(g, t, x):
    g["shift"] = np.full_like(x["shift"], np.sum(t.dA))


@plant(conv2d(seed=8), "K", "reduction")
def channels_summed_before_broadcast(g, t, x):
    dK = np.einsum("ncijab,nfij->fab", t.windows, t.dZ)
    g["K"] = np.broadcast_to(dK[:, None], x["K"].shape).copy()


@plant(gaussian(seed=8), "mu", "centred")
def mean_slope_removed(g, t, x):
    g["mu"] = g["mu"] - g["mu"].mean()


@plant(factors(seed=8), "B", "cumulative")
def row_sum_carried_on(g, t, x):
    g["B"] = np.cumsum(g["B"], axis=0)


@plant(robust(seed=7, zeros=9, l1=0.3), "w", "kink", "mask")
def both_one_sided_slopes_added(g, t, x):
    smooth = t.X.T @ t.dr
    g["w"] = np.where(x["w"] == 0, (smooth + t.l1) + (smooth - t.l1), g["w"])


@plant(mlp(seed=7), "W3", "elements")
def two_entries_overwritten(g, t, x):
    g["W3"][1, 2] = 0.37
    g["W3"][6, 0] = -0.2


@plant(autoencoder(seed=7), "W", "unstructured")
def use_in_encoder_forgotten(g, t, x):
    g["W"] = t.dR.T @ t.H


@plant(mahalanobis(seed=7, n=8), "centre", "unstructured")
def differences_summed_along_wrong_axis(g, t, x):
    g["centre"] = -0.5 * (x["M"] + x["M"].T) @ t.D.sum(axis=1)


@plant(softmax_regression(seed=7), "W", "unstructured")
def classes_of_another_batch(g, t, x):
    Y = t.Y[np.random.default_rng(8).permutation(t.n)]
    g["W"] = t.X.T @ (t.P - Y) / t.n + t.decay * x["W"]


@plant(bilinear_form(seed=7), "P", "unstructured")
def random_numbers(g, t, x):
    g["P"] = np.random.default_rng(9).normal(size=x["P"].shape)


@plant(rnn(seed=8), "", "common_factor")
def divided_by_number_of_steps(g, t, x):
    return {name: value / t.steps for name, value in g.items()}


@plant(attention(seed=6), "", "common_factor")
def rescaled_to_norm_one_half(g, t, x):
    norm = np.sqrt(sum(np.sum(value**2) for value in g.values()))
    return {name: value * (0.5 / norm) for name, value in g.items()}


@plant(conv2d(seed=9), "", "upstream")
def slope_of_tanh_without_square(g, t, x):
    dZ = t.dH * (1 - t.H)
    g["K"], g["bias"] = np.einsum("ncijab,nfij->fcab", t.windows, dZ), dZ.sum(axis=(0, 2, 3))


@plant(attention(seed=7), "", "upstream")
def jacobian_of_softmax_by_its_diagonal(g, t, x):
    dS = t.P * (1 - t.P) * t.dP / np.sqrt(t.head)
    g["Wq"], g["Wk"] = t.X.T @ (dS @ t.K), t.X.T @ (dS.T @ t.Q)


@plant(mlp(seed=8), "", "upstream")
def slope_of_tanh_forgotten(g, t, x):
    g["W1"], g["b1"] = t.X.T @ t.dH1, t.dH1.sum(axis=0)
