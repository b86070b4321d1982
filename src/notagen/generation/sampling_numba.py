"""Sampling in machine code; `tests/generation` holds it to the reference in `sampling`."""

import numpy as np
import numpy.typing as npt

from notagen.model.decoding.machine_code import compiled


@compiled()
def sample_rows(
    logits: npt.NDArray[np.float32],
    uniform: npt.NDArray[np.float64],
    top_k: int,
    top_p: float,
    powers: tuple[float, float],
) -> npt.NDArray[np.int64]:
    """Sample one id per row with top-k, top-p and temperature: [rows, 128] -> [rows].

    Arguments are those of :func:`notagen.generation.sampling.sample_rows`.
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
        rest = uniform[row] * total  # inverse transform sampling
        chosen[row] = ids[0]  # if rounding leaves some of `rest` after the last id
        for rank in range(kept):
            rest -= likely[rank]
            if rest < 0:
                chosen[row] = ids[rank]
                break
    return chosen
