"""What `gradcheck` and `gradient` return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.audit.to_xarray import to_xarray
from pardiff.comparison.compared import Comparison
from pardiff.comparison.ranking import Entry, worst
from pardiff.comparison.reconcile import ArrayResult, Reconciliation
from pardiff.comparison.self_test import SelfTest, self_test
from pardiff.comparison.verdicts import Verdict
from pardiff.diagnosis.finding import Finding
from pardiff.errors import GradientMismatchError, InputError, closest
from pardiff.numerics.estimates import Estimates
from pardiff.problem.named_arrays import in_structure
from pardiff.problem.space import Structure
from pardiff.reporting.summary import Summary, summarize
from pardiff.reporting.terminal import render_terminal
from pardiff.reporting.write import render, write_text
from pardiff.storage.format import VERDICTS
from pardiff.storage.ledger import Ledger, estimates
from pardiff.storage.location import LocalFolder, StorageLocation


class GradcheckResult:
    """Outcome of an audit; ``str(result)`` is its report.

    Attributes
    ----------
    verdict : Verdict
        ``PASS``, ``FAIL`` or ``INCONCLUSIVE``.
    counts : dict of str to int
        Entries by verdict: ``pass``, ``fail``, ``inconclusive``, ``kink``, ``nonfinite``, ``error``, ``missing``.
    arrays : tuple of ArrayResult
        Per named array: name, shape, counts, max_error, certified_rtol, finding.
    findings : tuple of Finding
        What is wrong, in sentences.
    nfev : int
        Forward passes spent, those at x0 included.
    seconds : float
        Wall time.
    exit_status : int
        What ``pardiff run`` exits with: 0 pass, 1 mismatch, 3 inconclusive, 4 incomplete.
    folder : Path or None
        Where the audit is kept; None if in memory or in an object store.
    location : StorageLocation or None
        The same, wherever it is; None if in memory.

    Notes
    -----
    ``numerical``, ``analytical``, ``uncertainty``, ``margin``, ``verdicts`` and ``nfev_by_entry`` have the structure
    of x0. With a ``vjp`` there is such a structure in each place of fun's value, and each of its arrays has an axis of
    cotangents first.

    Examples
    --------
    >>> import numpy as np
    >>> import pardiff
    >>> result = pardiff.gradcheck(lambda x: float(np.sum(x["w"] ** 2)), lambda x: {"w": 2 * x["w"]}, {"w": np.ones(2)})
    >>> result.verdicts["w"].tolist(), np.allclose(result.numerical["w"], 2)
    (['pass', 'pass'], True)
    """

    def __init__(
        self, comparison: Comparison, reconciliation: Reconciliation, location: StorageLocation | None = None
    ) -> None:
        self._comparison = comparison
        self._reconciliation = reconciliation
        self.location = location
        self.folder: Path | None = location.path if isinstance(location, LocalFolder) else None
        self.verdict = reconciliation.verdict
        self.counts = reconciliation.counts
        self.arrays: tuple[ArrayResult, ...] = reconciliation.arrays
        self.findings: tuple[Finding, ...] = reconciliation.findings
        self.exit_status = reconciliation.exit_status
        self.nfev = reconciliation.nfev
        self.seconds = comparison.ledger.info.timings.seconds

    @property
    def passed(self) -> bool:
        """Whether the verdict is PASS."""
        return self.verdict is Verdict.PASS

    @property
    def comparison(self) -> Comparison:
        """The audit's ledger, judged; for tools that go on from here."""
        return self._comparison

    @property
    def ledger(self) -> Ledger:
        """The audit's numbers, records and facts; for tools that go on from here."""
        return self._comparison.ledger

    @cached_property
    def numerical(self) -> Structure:
        """Numerical derivatives, float64; NaN where there is none."""
        return self._estimated("numerical")

    @cached_property
    def analytical(self) -> Structure:
        """Analytical derivatives, float64; NaN where the problem has none."""
        return self._structure([self.ledger.array("analytical", array) for array in self.ledger.arrays])

    @cached_property
    def uncertainty(self) -> Structure:
        """Half widths of the error bars, in the units of the derivatives."""
        return self._estimated("uncertainty")

    @cached_property
    def margin(self) -> Structure:
        """Distances from the numerical derivatives within which nothing fails; at least the uncertainty."""
        return self._estimated("margin")

    @cached_property
    def cotangents(self) -> Structure:
        """Cotangents of each output, in the structure of fun's value, with a leading axis; None where there are none.

        The first axis counts them: an entry ``y·u1 / W[2]`` belongs to ``result.cotangents[1]`` where fun returns one
        array.
        """
        drawn = self.ledger.info.spec.cotangents
        if drawn is None:
            return None
        pairs = zip(drawn.outputs.leaves, drawn.weights, strict=True)
        return drawn.outputs.structure(
            [weights.astype(leaf.dtype).reshape(drawn.probes, *leaf.shape) for leaf, weights in pairs]
        )

    @cached_property
    def verdicts(self) -> Structure:
        """Verdict of each entry, as the strings that are the keys of ``counts``."""
        names, codes = np.array(VERDICTS), {}
        for array in self.ledger.arrays:
            chunks = self._comparison.chunks(array) if array.size else ()
            codes[array.name] = np.concatenate([np.empty(0, dtype=np.int8), *(chunk.verdict for chunk in chunks)])
        return self._structure([names[codes[array.name]].reshape(array.shape) for array in self.ledger.arrays])

    @cached_property
    def nfev_by_entry(self) -> Structure:
        """Forward passes that each entry rests on, int64; those of a line serve all of its observables."""
        return self._estimated("nfev", np.int64)

    def _estimated(self, quantity: str, dtype: Any = np.float64) -> Structure:
        arrays = []
        for array in self.ledger.arrays:
            found: Estimates = estimates(self.ledger, array, 0, array.size)
            arrays.append(getattr(found, quantity).astype(dtype).reshape(array.shape))
        return self._structure(arrays)

    def _structure(self, arrays: list[NDArray[Any]]) -> Structure:
        return in_structure(self.ledger.space, self.ledger.info.spec.cotangents, arrays)

    @cached_property
    def summary(self) -> Summary:
        """The view model of all reports."""
        return summarize(self._comparison, self._reconciliation)

    def worst(self, count: int | None = 10, array: str | None = None) -> list[Entry]:
        """The entries that matter most: wrong ones first, then those nearest to the tolerance.

        Parameters
        ----------
        count : int or None
            How many; None for all.
        array : str or None
            Name of the only array to look at.

        Returns
        -------
        list of Entry
            With array, index, label, numerical, analytical, residual, uncertainty, margin, tolerance and verdict.

        Raises
        ------
        InputError
            If there is no such array, or the count is no whole number.
        """
        if count is None:
            count = sum(one.size for one in self._comparison.arrays)
        if not isinstance(count, int) or count < 0:
            raise InputError(f"worst: got {count!r}; expected a number of entries, or None for all")
        known = self._comparison.arrays
        chosen = [one for one in known if array in (None, one.name)]
        if array is not None and not chosen:
            raise InputError(f"no array {array!r}; {closest(array, [one.name for one in known])}")
        return worst(self._comparison, count, chosen)

    def self_test(self) -> tuple[SelfTest, ...]:
        """What this audit would not have let pass: known faults, planted in a copy of the analytical derivative.

        fun is not called.

        Returns
        -------
        tuple of SelfTest
            By array: at how many entries a factor of 1.01, or a wrong sign, would not have passed; of how many slices
            set to 0; whether a transpose would not; and the smallest relative error that would not.

        Examples
        --------
        >>> import numpy as np
        >>> import pardiff
        >>> (test,) = pardiff.gradcheck(lambda x: float(np.sum(x**3)), lambda x: 3 * x**2, np.ones(4)).self_test()
        >>> test.factor, test.sign, test.slices, test.largest_error < 1e-5
        (4, 4, (4, 4), True)
        """
        return self_test(self._comparison)

    def raise_for_verdict(self) -> GradcheckResult:
        """Return the result if it passed; raise `GradientMismatchError` with the report if not."""
        __tracebackhide__ = True
        if not self.passed:
            raise GradientMismatchError(str(self))
        return self

    def to_dict(self) -> dict[str, Any]:
        """All that a report says, as plain data for JSON; numbers that are not finite are None."""
        return self.summary.to_json()

    def to_html(self, path: str | Path | None = None) -> str | None:
        """The report as one page that needs nothing else.

        Parameters
        ----------
        path : path or None
            File to write it to.

        Returns
        -------
        str or None
            The page; None where it was written to a file.
        """
        text = render("html", self.summary)
        if path is None:
            return text
        folder = Path(path).parent
        if not folder.is_dir() or Path(path).is_dir():
            raise InputError(
                f"to_html: {path} is a folder" if folder.is_dir() else f"to_html: there is no folder {folder}"
            )
        write_text(LocalFolder(folder), Path(path).name, text)
        return None

    def to_xarray(self) -> Any:
        """The audit as an `xarray.DataTree` with a group per quantity (needs the extra ``pardiff[xarray]``)."""
        return to_xarray(self.ledger, self.location)

    def __str__(self) -> str:
        """The terminal report."""
        return render_terminal(self.summary)

    def _repr_html_(self) -> str:
        """The report in brief, for notebooks."""
        from pardiff.reporting.html import render_fragment

        return render_fragment(self.summary)

    def __repr__(self) -> str:
        """Verdict and headline."""
        return f"<GradcheckResult {self.verdict}: {self.summary.headline}>"


@dataclass(frozen=True)
class GradientResult:
    """A numerical gradient with its error bars."""

    value: Structure
    """Derivatives in the structure and shapes of x0, float64; NaN where there is none."""
    uncertainty: Structure
    """Half widths of the error bars, likewise."""
    nfev: int
    """Forward passes spent, those at x0 included."""
    seconds: float
    """Wall time."""

    def __str__(self) -> str:
        """The numbers, shortened as NumPy does."""
        if isinstance(self.value, Mapping):
            return "\n".join(f"{name}: {value}" for name, value in self.value.items())
        return f"{self.value} ± {self.uncertainty}"
