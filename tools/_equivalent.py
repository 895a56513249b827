"""Mutants that no test can notice: (function, the line after the change) -> why nothing that counts is different."""

EQUIVALENT: dict[tuple[str, str], str] = {}
