"""base: errors, records, seeds, registry, optional imports, Pareto sets.

Not here: anything that knows another room.
"""
