"""What `gradcheck` and `gradient` return."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pardiff.comparison.reconcile import ArrayResult, Entry, Reconciliation, worst
from pardiff.comparison.self_test import SelfTest, self_test
from pardiff.comparison.verdicts import Verdict
from pardiff.diagnosis.finding import Finding
from pardiff.errors import GradientMismatchError, InputError
from pardiff.evaluation.fixed_stencil import Estimates
from pardiff.problem.space import FloatArray, Structure, unflatten
from pardiff.reporting.summary import Summary, summarize
from pardiff.reporting.terminal import render_terminal
from pardiff.storage.format import QUANTITIES, VERDICTS
from pardiff.storage.ledger import Ledger
from pardiff.storage.location.base import Folder, Place


class GradcheckResult:
    """Outcome of a gradient audit; ``str(result)`` is its report.

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
    folder : Path or None
        Where the audit is kept; None if in memory or in an object store.
    place : Place or None
        The same, wherever it is; None if in memory.
    """

    def __init__(self, ledger: Ledger, reconciliation: Reconciliation, place: Place | None = None) -> None:
        self._ledger = ledger
        self._reconciliation = reconciliation
        self.place = place
        self.folder = place.path if isinstance(place, Folder) else None
        self.verdict = reconciliation.verdict
        self.counts = reconciliation.counts
        self.arrays: tuple[ArrayResult, ...] = reconciliation.arrays
        self.findings: tuple[Finding, ...] = reconciliation.findings
        self.exit_status = reconciliation.exit_status
        self.nfev = reconciliation.nfev
        self.seconds: float = ledger.info["timings"].get("seconds", math.nan)

    @property
    def passed(self) -> bool:
        """Whether the verdict is PASS."""
        return self.verdict is Verdict.PASS

    @cached_property
    def numerical(self) -> Structure:
        """Numerical derivatives in the structure of x0, float64; NaN where there is none."""
        return self._in_structure(self._estimates.numerical)

    @cached_property
    def analytical(self) -> Structure:
        """Analytical derivatives in the structure of x0, float64; NaN where the problem has none."""
        layout = self._ledger.layout
        return layout.structure([self._ledger.array("analytical", leaf) for leaf in layout.leaves])

    @cached_property
    def uncertainty(self) -> Structure:
        """Half widths of the error bars in the structure of x0, in the units of the derivatives."""
        return self._in_structure(self._estimates.uncertainty)

    @cached_property
    def margin(self) -> Structure:
        """Distances from the numerical derivatives within which nothing fails; at least the uncertainty."""
        return self._in_structure(self._estimates.margin)

    @cached_property
    def verdicts(self) -> Structure:
        """Verdict of each entry in the structure of x0, as the strings that are the keys of ``counts``."""
        layout, names = self._ledger.layout, np.array(VERDICTS)
        return layout.structure([names[self._ledger.array("verdict", leaf)] for leaf in layout.leaves])

    @cached_property
    def nfev_by_entry(self) -> Structure:
        """Forward passes spent on each entry in the structure of x0, int64."""
        return self._in_structure(self._estimates.nfev.astype(np.int64))

    @cached_property
    def _estimates(self) -> Estimates:
        return self._ledger.estimates(0, self._ledger.layout.size)

    def _in_structure(self, flat: FloatArray) -> Structure:
        return unflatten(self._ledger.layout, flat.copy())

    @cached_property
    def summary(self) -> Summary:
        """The view model of all reports."""
        return summarize(self._ledger, self._reconciliation)

    def worst(self, count: int = 10, array: str | None = None) -> list[Entry]:
        """The entries that matter most: wrong ones first, then those nearest to the tolerance.

        Parameters
        ----------
        count : int
        array : str or None
            Name of the only array to look at.

        Returns
        -------
        list of Entry
            With array, index, label, numerical, analytical, residual, uncertainty and verdict.
        """
        names = [result.name for result in self.arrays]
        if array is not None and array not in names:
            from pardiff.errors import closest

            raise InputError(f"no array {array!r}; {closest(array, names)}")
        settings = self._ledger.info["settings"]
        return worst(self._ledger, self._reconciliation, settings["rtol"], settings["atol"], count, array)

    def self_test(self) -> tuple[SelfTest, ...]:
        """What this audit would not have let pass: known faults, planted in a copy of the claim; fun is not called.

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
        settings = self._ledger.info["settings"]
        return self_test(self._ledger, settings["rtol"], settings["atol"])

    def raise_for_verdict(self) -> GradcheckResult:
        """Return the result if it passed; raise `GradientMismatchError` with the report if not."""
        __tracebackhide__ = True
        if not self.passed:
            raise GradientMismatchError(str(self))
        return self

    def to_xarray(self) -> Any:
        """The audit as an `xarray.DataTree` with a group per quantity (needs the extra ``pardiff[xarray]``)."""
        try:
            import xarray
        except ImportError:
            raise InputError("to_xarray needs xarray; pip install 'pardiff[xarray]'") from None
        if self.place is not None:
            from pardiff.storage.zarr_ledger import STORE

            store = self.place.zarr(STORE, write=False)
            return xarray.open_datatree(store, engine="zarr", consolidated=False, chunks=None)
        groups: dict[str, Any] = {}
        for quantity in ("x0", *QUANTITIES):
            attributes = QUANTITIES[quantity].attributes() if quantity in QUANTITIES else {}
            for leaf in self._ledger.layout.leaves:
                *parents, name = leaf.name.split("/")
                dims = [f"{leaf.name}.axis{axis}" for axis in range(len(leaf.shape))]
                values = self._ledger.array(quantity, leaf)
                group = groups.setdefault("/".join((quantity, *parents)), {})
                group[name] = xarray.Variable(dims, values, attributes)
        return xarray.DataTree.from_dict({path: xarray.Dataset(group) for path, group in groups.items()})

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
