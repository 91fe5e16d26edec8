"""Audits in a store, opened again: as they stand, or compared anew with other tolerances."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pardiff.audit.result import GradcheckResult
from pardiff.comparison.compared import Comparison, save
from pardiff.comparison.reconcile import reconcile as judged
from pardiff.problem.options import Options
from pardiff.storage.ledger import write_named_arrays
from pardiff.storage.location import StorageLocation


def open_result(store: str | Path | StorageLocation) -> GradcheckResult:
    """The result of an audit as it stands, finished or not; nothing is written or executed.

    Parameters
    ----------
    store : path or address
        The audit's folder, or the ``audit.zarr`` in it.

    Raises
    ------
    StoreError
        If it cannot be read, is damaged, or is no audit (`NotAnAuditError`).
    """
    from pardiff.storage.zarr_ledger import ZarrLedger

    ledger = ZarrLedger.open(store)
    ledger.drop_damaged()
    ledger.check_analytical()
    comparison = Comparison(ledger)
    return GradcheckResult(comparison, judged(comparison), ledger.location)


def reconcile(
    store: str | Path | StorageLocation, *, rtol: float | None = None, atol: float | None = None
) -> GradcheckResult:
    """Compare the derivatives of an audit again, with other tolerances and without a forward pass.

    Parameters
    ----------
    store : path or address
        The audit's folder, or the ``audit.zarr`` in it.
    rtol, atol : float or None
        None keeps those of the audit.

    Raises
    ------
    StoreError
        If a run is at work on the audit.
    """
    from pardiff.storage.zarr_ledger import ZarrLedger

    location = ZarrLedger.open(store).location  # what is no audit is not held either
    asked = Options(rtol=rtol, atol=atol)
    with location.locked():
        ledger = ZarrLedger.open(location, write=True)
        ledger.drop_damaged()
        ledger.check_analytical()
        ledger.update(settings=replace(ledger.info.settings, **asked.chosen()))
        write_named_arrays(ledger)
        comparison = Comparison(ledger)
        save(comparison)
        return GradcheckResult(comparison, judged(comparison), location)
