"""Mutants that no test can notice: (function, the line after the change) -> why nothing that counts is different."""

_FORMS = "where one form takes over from the other, both give the same to rounding"
_IDLE = "points that are dominated stay longer, and add no area"
_LAST = "of two columns the second is the last, and where there are more the order is made anew"

EQUIVALENT: dict[tuple[str, str], str] = {
    ("log_improvement", "near = z >= _TAIL"): _FORMS,
    (
        "log_improvement",
        "found[~near] = -0.5 * far**2 - _HALF + np.where(far >= _FAR, series, np.log(np.maximum(rest, 1e-300)))",
    ): _FORMS,
    ("nondominated", "best = _lowest(distinct) if distinct.shape[1] < 2 else _undominated(distinct)"): (
        "`_undominated` is right for two objectives too, and slower"
    ),
    ("_volume", "return float(reference[0] - points.max())"): (
        "in one objective points that do not dominate each other are equal"
    ),
    (
        "_volume",
        "slab = points[:1, :-1] # what dominates below the present height, by the last but one objective",
    ): "the first point is what is put there first anyway",
    ("_volume", "if not (slab < point).all(axis=1).any():"): _IDLE,
    ("_volume", "slab = slab[(slab <= point).any(axis=1)]"): _IDLE,
    ("_volume", "at = int(np.searchsorted(slab[:, +1], point[-1]))"): _LAST,
    ("_volume", "at = int(np.searchsorted(slab[:, -1], point[+1]))"): _LAST,
    ("_volume", "if end >= start:"): "a slice without height adds nothing",
    (
        "Regret._bound",
        'values, lowest = posterior.paths(DRAWS, generator(self.seed, "stopping", n, 6))',
    ): "draws from another stream, as good as these",
    ("_Loss.__call__", "W = 2.0 - tail"): "a shift of all features changes no distance",
    ("_Loss.__call__", "factor, info = linalg.lapack.dpotrf(C, lower=1, overwrite_a=1, clean=1)"): (
        "the covariance is not used again"
    ),
    ("_Loss.__call__", "value += 0.5 / MEAN_WEIGHT * mean * mean"): "the weight is 1",
    (
        "solved",
        "return mean, linalg.solve_triangular(factor, half - mean * ones, lower=True, trans=2, check_finite=False)",
    ): "of real numbers the conjugate transpose is the transpose",
}
