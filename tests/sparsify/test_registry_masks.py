"""What every registered method and optimizer leave where no weight exists, and what an exchange of connections does."""

from __future__ import annotations

import numpy as np
import pytest
from sparsify_registry import EVERY_METHOD, EXCHANGING, NETWORK, OPTIMIZERS, cohort, quick, sparsified, spied

from evosparse.sparsify import METHODS, Dynamic, RigL

KERNELS = pytest.mark.parametrize("kernel", ["dense", "packed"])


@EVERY_METHOD
@KERNELS
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_masks_survive_the_optimizer(name: str, kernel: str, optimizer: str) -> None:
    made = cohort((0, 1), kernel=kernel, **OPTIMIZERS[optimizer])
    with spied() as spy:
        results = sparsified(quick(name), made)
    assert spy.looks >= 2
    for result in results:
        for layer, own in zip(NETWORK.layers, result.connections, strict=True):
            outside = np.delete(result.state[layer.parameter].reshape(-1), own)
            assert not outside.view(np.int32).any()


@KERNELS
@pytest.mark.parametrize("name", EXCHANGING)
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("regrow", ["keep", "reinit"])
def test_kept_grown_and_inactive_partition_the_positions(name: str, kernel: str, optimizer: str, regrow: str) -> None:
    said: dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]] = {}

    class Watched(METHODS[name]):
        def grown(self, exchange: object, number: int, layer: int, candidates: np.ndarray, count: int) -> np.ndarray:
            grown = super().grown(exchange, number, layer, candidates, count)
            said[spy.rewired, number, layer] = (candidates, grown)
            assert len(grown) == count == len(np.unique(grown)) and np.isin(grown, candidates).all()
            return grown

    made = cohort((0, 1), sparsity=0.6, epochs=5, kernel=kernel, **OPTIMIZERS[optimizer])
    with spied() as spy:
        sparsified(Watched(**quick(name, regrow=regrow).model_dump(exclude={"method"})), made)
    assert said.keys() <= {seen.key for seen in spy.exchanges}
    for seen in spy.exchanges:
        assert len(seen.after) == len(seen.before) == len(np.unique(seen.after))
        assert (np.diff(seen.after) > 0).all() and 0 <= seen.after[0] and seen.after[-1] < seen.size
        fresh = np.isin(seen.after, seen.fresh)
        staying = seen.after[~fresh]
        assert fresh.sum() == len(seen.fresh) and np.isin(staying, seen.before).all()
        places = np.searchsorted(seen.before, staying)
        np.testing.assert_array_equal(seen.values_after[~fresh], seen.values[places])
        np.testing.assert_array_equal(seen.values_after[fresh], seen.declared[np.argsort(seen.fresh)])
        for old, new in zip(seen.moments, seen.moments_after, strict=True):
            assert not new[fresh].any()
            np.testing.assert_array_equal(new[~fresh], old[places])
        if seen.key not in said:  # nothing was exchanged here, or by another method that this one begins with
            continue
        candidates, grown = said[seen.key]
        kept = np.setdiff1d(seen.after, grown)
        assert len(kept) + len(grown) == len(seen.after) and np.isin(kept, seen.before).all()
        assert not np.isin(kept, candidates).any()
        # Kept, or dropped and grown again: who begins anew is the method's choice alone.
        wanted = grown if regrow == "reinit" else np.setdiff1d(grown, seen.before)
        np.testing.assert_array_equal(np.sort(seen.fresh), np.sort(wanted))
    exchanged = [seen for seen in spy.exchanges if seen.key in said]
    # What is dropped may be grown again, and is; a method may say otherwise.
    if METHODS[name].grown in (Dynamic.grown, RigL.grown):
        assert any(np.isin(said[seen.key][1], seen.before).any() for seen in exchanged)
    assert any(not np.isin(said[seen.key][1], seen.before).all() for seen in exchanged)
