"""Mutants that no test can notice: (function, the line after the change) -> why nothing that counts is different."""

_FORMS = "where one form takes over from the other, both give the same to rounding"

EQUIVALENT: dict[tuple[str, str], str] = {
    ("log_improvement", "near = z >= _TAIL"): _FORMS,
    (
        "log_improvement",
        "found[~near] = -0.5 * far**2 - _HALF + np.where(far >= _FAR, series, np.log(np.maximum(rest, 1e-300)))",
    ): _FORMS,
    (
        "_volume",
        "return float(reference[0] - points.max())",
    ): "points that do not dominate each other in one objective are equal",
}
