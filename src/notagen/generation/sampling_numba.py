"""Sampling in machine code: what `Sampling` does in Python, number for number."""

import numba
import numpy as np
import numpy.typing as npt


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def sample_rows(
    logits: npt.NDArray[np.float32],
    uniform: npt.NDArray[np.float64],
    top_k: int,
    top_p: float,
    powers: tuple[float, float],
) -> npt.NDArray[np.int64]:
    """One id for each row of logits, [rows, 128], and number of [0, 1).

    Args:
        logits: minus infinity forbids an id.
        uniform: the only randomness.
        top_k: only the most likely ids.
        top_p: of these, the fewest that hold this share.
        powers: of probabilities, before and after the filters.
    """
    before, after = powers
    ids = np.empty(top_k, np.int64)
    likely = np.empty(top_k)
    chosen = np.empty(len(logits), np.int64)
    for row in range(len(logits)):
        left = logits[row].copy()
        for rank in range(top_k):
            ids[rank] = left.argmax()
            likely[rank] = left[ids[rank]]
            left[ids[rank]] = -np.inf
        best = likely[0]
        rest = 0.0
        for rank in range(top_k):
            likely[rank] = np.exp((likely[rank] - best) * before)
            rest += likely[rank]
        rest *= top_p
        kept = 0
        total = 0.0
        while kept < top_k and rest > 0:
            rest -= likely[kept]
            likely[kept] **= after
            total += likely[kept]
            kept += 1
        rest = uniform[row] * total
        chosen[row] = ids[0]  # where rounding leaves some of the rest
        for rank in range(kept):
            rest -= likely[rank]
            if rest < 0:
                chosen[row] = ids[rank]
                break
    return chosen
