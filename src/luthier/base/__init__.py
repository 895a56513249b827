"""base: errors, records, seeds, registry, late and optional imports, files written whole, threads, Pareto sets.

Not here: anything that knows another room.
"""
