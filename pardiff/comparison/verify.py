"""Whether the arrays by name, which other programs read, are those that follow from the blocks."""

from __future__ import annotations

import numpy as np

from pardiff.comparison.compared import Comparison
from pardiff.errors import StoreError
from pardiff.storage.ledger import WORKING, Ledger, estimates


def altered_arrays(ledger: Ledger) -> list[str]:
    """Names, such as ``numerical/W``, of the arrays of a complete audit that are damaged.

    All is computed again from the results of the blocks, which have checksums, and the analytical derivative, which has
    one too; no pass is made.
    """
    comparison = Comparison(ledger)
    found: dict[str, None] = {}
    for array in comparison.arrays:
        for chunk in comparison.chunks(array):
            delivered = estimates(ledger, array, chunk.start, chunk.stop)
            expected = {quantity: getattr(delivered, quantity) for quantity in WORKING}
            expected |= {"residual": chunk.residual, "verdict": chunk.verdict}
            for quantity, values in expected.items():
                try:
                    stored = ledger.read(quantity, array, chunk.start, chunk.stop)
                    right = np.array_equal(stored, values.astype(stored.dtype), equal_nan=True)
                except StoreError:
                    right = False
                if not right:
                    found[f"{quantity}/{array.path}"] = None
    return list(found)
