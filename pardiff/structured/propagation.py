"""How far changes of single parameters reach through a chain: one column first, all of it later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pardiff.errors import InputError, closest
from pardiff.problem.space import FloatArray, IntArray
from pardiff.structured.forward import Stages, apply, bias_of, forward, loss_terms, names_of, split
from pardiff.structured.stages import Affine, Elementwise, rows_of

SMALL = 1e-4
"""Below it the next term of tanh(d), 2/15 d**5, is smaller than the rounding of a sum with d in it."""


class Propagation:
    """Changes of a chain's loss from one point of its parameters; holds all activations there.

    A group of k coordinates at m displacements each has activations of shape (k, features, m, samples): the samples
    are innermost, so that everything is done on long rows, and each coordinate has a matrix of its own, so that the
    bits of a change do not depend on what else is in the group.
    """

    def __init__(self, chain: Stages, arrays: Mapping[str, Any]) -> None:
        self.chain = chain
        self.shapes = {name: np.shape(array) for name, array in arrays.items()}
        self._arrays = {name: np.asarray(array) for name, array in arrays.items()}
        self._activations, self._flat = forward(chain, self._arrays)
        self._terms = loss_terms(chain, self._activations[-1], self._flat[-1])
        self._stage = {name: k for k, stage in enumerate(chain.stages) for name in names_of(stage)}
        for name in chain.penalties:
            if name not in self._arrays:
                raise InputError(f"Chain: penalties has an array {name!r}; {closest(name, list(self._arrays))} of x0")
        for name in self._arrays:
            if name not in self._stage and name not in chain.penalties:
                raise InputError(f"Chain: array {name!r} of x0 is used by no stage")
        self._matrix = {
            k: stage.matrix(self._arrays[stage.weight])
            for k, stage in enumerate(chain.stages)
            if isinstance(stage, Affine)
        }
        sizes = np.abs(self._terms)
        self._column: Any = None
        if hasattr(chain.loss, "column"):
            self._column, sizes = chain.loss.prepare(self._activations[-1])  # type: ignore[attr-defined]
        self._size = float(np.linalg.norm(sizes))
        self._transposed = {k: np.ascontiguousarray(matrix.T) for k, matrix in self._matrix.items()}
        self._buffers: dict[str, FloatArray] = {}
        self._repeated: dict[tuple[int, int], FloatArray] = {}

    @property
    def value(self) -> float:
        """The loss itself."""
        penalties = (float(np.sum(p(self._float(name)))) for name, p in self.chain.penalties.items())
        return float(np.sum(self._terms)) + sum(penalties)

    def group(self, array: str, points: int) -> int:
        """Coordinates of an array that one call takes at the most, so that its memory is bounded."""
        stages, widths = self.chain.stages, [1]
        k = self._stage.get(array)
        if k is not None:
            number = k + 1
            if isinstance(stages[k], Affine):  # as long as one column is changed, no more is held
                number = next((i for i in range(k + 1, len(stages)) if not self._keeps_column(i)), len(stages))
                if number < len(stages) and isinstance(stages[number], Affine):
                    following = self._after_elementwise(number + 1)
                    number = following if following in self._matrix else number
            widths += [len(z) for z in self._activations[number + 1 :]]
            if number < len(stages) or self._column is None:
                widths.append(len(self._activations[-1]))
        return max(1, int(self.chain.memory // max(1, 8 * self._terms.size * max(widths) * points)))

    def _after_elementwise(self, k: int) -> int:
        """The first stage from k on that is not elementwise."""
        stages = self.chain.stages
        return next((i for i in range(k, len(stages)) if not isinstance(stages[i], Elementwise)), len(stages))

    def _keeps_column(self, k: int) -> bool:
        """Whether stage k changes one column where one column of its input is changed."""
        stage = self.chain.stages[k]
        return isinstance(stage, Elementwise) or (isinstance(stage, Affine) and len(self._activations[k + 1]) == 1)

    def changes(self, array: str, index: IntArray, displacement: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes of the loss, and the sizes that their rounding is in proportion to; see `Incremental`."""
        displacement = np.ascontiguousarray(displacement)  # the samples of a product with it are to be innermost
        change = np.zeros(displacement.shape)
        size = np.zeros(displacement.shape)
        k = self._stage.get(array)
        if k is not None:
            stage = self.chain.stages[k]
            if isinstance(stage, Affine):
                change, size = self._of_affine(k, stage, array, index, displacement)
            else:
                change, size = self._of_stage(k, stage, array, index, displacement)
        penalty = self.chain.penalties.get(array)
        if penalty is not None:
            start = self._float(array).reshape(-1)[index][:, None]
            before, after = penalty(start), penalty(start + displacement)
            if np.shape(before) != start.shape or np.shape(after) != displacement.shape:
                raise InputError(
                    f"Chain: the penalty of {array!r} returned the shape {np.shape(after)} for {displacement.shape}; "
                    f"expected a term for each element, as in lambda w: 0.5 * decay * w**2"
                )
            change = change + (after - before)
            size = size + np.maximum(np.abs(before), np.abs(after))
        return change, size

    def _of_affine(
        self, k: int, stage: Affine, array: str, index: IntArray, displacement: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        samples = self._terms.size
        if array == stage.bias:
            j = index
            delta = self._buffer("delta", (*displacement.shape, samples))
            delta[:] = displacement[:, :, None]
        else:
            i, j = split(index, stage, self.shapes[array])
            rows = rows_of(self._activations[k], i)
            last = k + 1 == len(self.chain.stages)
            if last and self._column is not None and hasattr(self.chain.loss, "line"):
                change, size = self.chain.loss.line(self._column, j, rows, displacement)
                return change, self._size + size
            delta = self._buffer("delta", (*displacement.shape, samples))
            np.multiply(rows[:, None, :], displacement[:, :, None], out=delta)
        return self._from_column(k + 1, j, delta)

    def _from_column(self, k: int, j: IntArray, delta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes of the loss with feature ``j[i]`` of the input of stage k moved by ``delta[i]``, (k, m, samples)."""
        for number, stage in enumerate(self.chain.stages[k:], k):
            if isinstance(stage, Elementwise):
                delta += rows_of(self._activations[number], j)[:, None, :]
                delta = stage.overwrite(delta)
                delta -= rows_of(self._activations[number + 1], j)[:, None, :]
            elif not isinstance(stage, Affine):
                return self._from_all(number, self._spread(number, j, delta))
            elif self._keeps_column(number):
                delta *= self._matrix[number][j][:, :, None]
                j = np.zeros_like(j)
            else:
                return self._from_product(number, self._matrix[number][j], delta)
        if self._column is None:
            return self._from_all(len(self.chain.stages), self._spread(len(self.chain.stages), j, delta))
        change, size = self.chain.loss.column(self._column, j, delta)  # type: ignore[attr-defined]
        return change, self._size + size

    def _spread(self, k: int, j: IntArray, delta: FloatArray) -> FloatArray:
        """All features of the input of stage k, of which one is moved."""
        base = self._activations[k]
        z = np.empty((len(delta), len(base), *delta.shape[1:]))
        z[:] = base[:, None, :]
        z[np.arange(len(j)), j] += delta
        return z

    def _from_product(self, k: int, rows: FloatArray, delta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes of the loss with the output of affine stage k moved by ``rows[i] x delta[i]``.

        The widest activations are made, used and forgotten one coordinate after the other: they stay in the cache.
        """
        stages = self.chain.stages
        following = self._after_elementwise(k + 1)
        matrix = self._transposed.get(following)
        width = rows.shape[1] if matrix is None else len(matrix)
        points = delta.shape[1] * delta.shape[2]
        z = self._buffer("stacked", (len(rows), width, points))
        wide = self._buffer("wide", (rows.shape[1], points))
        spare = self._buffer("spare", wide.shape)
        moves = delta.reshape(len(delta), -1)
        first = stages[k + 1] if k + 1 < following else None
        is_tanh = isinstance(first, Elementwise) and first.function is np.tanh
        small = _largest(rows, moves) < SMALL if is_tanh else np.zeros(len(rows), dtype=bool)
        left, right = factors(rows, moves, cubes=small)
        for number, by_addition in enumerate(small.tolist()):
            piece = np.matmul(left[number], right[number], out=wide)
            if by_addition:
                tanh_of_sum(self._tiled(k + 2, delta.shape[1]), piece, spare)
            else:
                piece += self._tiled(k + 1, delta.shape[1])
            for stage in stages[k + 1 + by_addition : following]:
                assert isinstance(stage, Elementwise)
                piece = stage.overwrite(piece)
            if matrix is None:
                z[number] = piece
            else:
                np.matmul(matrix, piece, out=z[number])
        z = z.reshape(len(rows), width, *delta.shape[1:])
        if matrix is None:
            return self._from_all(following, z)
        self._add_bias(following, z)
        return self._from_all(following + 1, z)

    def _from_all(self, k: int, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes of the loss with all features of the input of stage k given, (k, features, m, samples)."""
        flat = self._flat[k]
        for number, stage in enumerate(self.chain.stages[k:], k):
            if isinstance(stage, Elementwise):
                z = stage.overwrite(z)
            elif isinstance(stage, Affine):
                product = np.matmul(self._transposed[number], z.reshape(*z.shape[:2], -1))
                z = product.reshape(len(z), -1, *z.shape[2:])
                self._add_bias(number, z)
            else:
                z = np.moveaxis(z, 1, 0)
                z = np.moveaxis(apply(stage, z, flat, [self._arrays[name] for name in names_of(stage)])[0], 0, 1)
            flat = self._flat[number + 1]
        moved = loss_terms(self.chain, np.moveaxis(z, 1, 0), flat) - self._terms
        return moved.sum(axis=-1), self._size + np.sqrt(np.vecdot(moved, moved))

    def _add_bias(self, k: int, z: FloatArray) -> None:
        stage = self.chain.stages[k]
        assert isinstance(stage, Affine)
        if stage.bias is not None:
            z += bias_of(stage, self._arrays, z.shape[1])[:, None, None]

    def _of_stage(
        self, k: int, stage: Any, array: str, index: IntArray, displacement: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """A stage of the user's is evaluated anew for each displacement; what follows is stacked."""
        names = names_of(stage)
        arrays = [np.array(self._arrays[name]) for name in names]
        own = arrays[names.index(array)].reshape(-1)
        z = np.empty((len(index), len(self._activations[k + 1]), displacement.shape[1], self._terms.size))
        for row, i in enumerate(index.tolist()):
            saved = own[i]
            for column, move in enumerate(displacement[row].tolist()):
                own[i] = float(saved) + move
                z[row, :, column] = apply(stage, self._activations[k], self._flat[k], arrays)[0]
            own[i] = saved
        return self._from_all(k + 1, z)

    def _float(self, name: str) -> FloatArray:
        return np.asarray(self._arrays[name], dtype=np.float64)

    def _tiled(self, k: int, points: int) -> FloatArray:
        """Input of stage k, repeated for some points; kept for the next call where it is not large."""
        if (k, points) not in self._repeated:
            tiled = np.tile(self._activations[k], points)
            if tiled.nbytes > self.chain.memory:
                return tiled
            self._repeated[k, points] = tiled
        return self._repeated[k, points]

    def _buffer(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """An array that the last call has used; the pages of a new one would have to be mapped at every call."""
        if name not in self._buffers or self._buffers[name].shape != shape:
            self._buffers[name] = np.empty(shape)
        return self._buffers[name]


def _largest(rows: FloatArray, moves: FloatArray) -> FloatArray:
    """A limit of what any element of a row times any of its move can be, for each row by itself."""
    return np.asarray(np.abs(rows).max(axis=1, initial=0.0) * np.abs(moves).max(axis=1, initial=0.0))


def factors(rows: FloatArray, moves: FloatArray, *, cubes: Any) -> tuple[FloatArray, FloatArray]:
    """Matrices (k, features, 2) and (k, 2, m samples) whose products are d, ``rows[i] x moves[i]``.

    Where ``cubes`` is true they are d - d**3 / 3. A matrix product, since rows of scalar times vector are slower in
    NumPy than in BLAS, and of two columns, since NumPy gives BLAS no product with one.
    """
    left, right = np.zeros((*rows.shape, 2)), np.zeros((len(moves), 2, moves.shape[1]))
    left[:, :, 0], right[:, 0] = rows, moves
    if cubes.any():
        left[cubes, :, 1] = rows[cubes] ** 2 * rows[cubes] / -3.0
        right[cubes, 1] = moves[cubes] ** 2 * moves[cubes]
    return left, right


def tanh_of_sum(tanh: FloatArray, u: FloatArray, spare: FloatArray) -> None:
    """``tanh(z + d)`` from ``tanh(z) = t`` and ``tanh(d) = u`` by the addition theorem, in place of u.

    u is d - d**3 / 3 to the last bit where d is below `SMALL`.
    """
    np.multiply(u, tanh, out=spare)
    spare += 1.0
    u += tanh
    u /= spare
