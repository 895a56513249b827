"""base: errors, records, seeds, registry, late and optional imports, threads, Pareto sets.

Not here: anything that knows another room.
"""
