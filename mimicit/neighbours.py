from dataclasses import dataclass
import numpy as np


@dataclass(frozen=True)
class Neighbours:
    places: np.ndarray
    scores: np.ndarray
    index: str = "exact"
    recall: float | None = None
    sampled: int = 0


def search(vectors, pool, k, *, index="auto", tick=None):
    n = len(vectors)
    out = np.full((n, min(k, len(pool))), -1, np.int32)
    sc = np.zeros(out.shape, np.int32)
    P = vectors[pool].astype(np.float32)
    for s in range(0, n, 512):
        S = (vectors[s : s + 512].astype(np.float32) @ P.T).astype(np.int64)
        S = np.where(pool[None, :] == np.arange(s, min(n, s + 512))[:, None], -(10**9), S)
        r = S * len(pool) - np.arange(len(pool))
        o = np.argsort(-r, 1)[:, : out.shape[1]]
        v = np.take_along_axis(S, o, 1)
        out[s : s + 512] = np.where(v > -(10**8), pool[o], -1)
        sc[s : s + 512] = v
        if tick:
            tick(min(512, n - s))
    return Neighbours(out, sc)
