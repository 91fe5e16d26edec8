"""Whether the arrays by name, which other programs read, are those that follow from the blocks."""

from __future__ import annotations

import numpy as np

from pardiff.comparison.compared import array_rms, stretches
from pardiff.errors import StoreError
from pardiff.storage.ledger import WORKING, Ledger, leaf_tiles


def altered_arrays(ledger: Ledger) -> list[str]:
    """Names, such as ``numerical/W``, of the arrays of a complete audit that are damaged.

    All is computed again from the results of the blocks, which have checksums, and the analytical gradient, which has
    one too; no pass is made.
    """
    rtol, atol = ledger.info["settings"]["rtol"], ledger.info["settings"]["atol"]
    found: dict[str, None] = {}
    for leaf in ledger.layout.leaves:
        compared = stretches(ledger, leaf, array_rms(ledger, leaf), rtol, atol)
        for (start, stop), part in zip(leaf_tiles(leaf), compared, strict=True):
            estimates = ledger.estimates(leaf.start + start, leaf.start + stop)
            expected = {quantity: getattr(estimates, quantity) for quantity in WORKING}
            expected |= {"residual": part.residual, "verdict": part.verdict}
            for quantity, values in expected.items():
                try:
                    stored = ledger.read(quantity, leaf, start, stop)
                    right = np.array_equal(stored, values.astype(stored.dtype), equal_nan=True)
                except StoreError:
                    right = False
                if not right:
                    found[f"{quantity}/{leaf.name}"] = None
    return list(found)
