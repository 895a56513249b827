"""base: errors, records, seeds, registry, optional imports, Pareto sets. It knows nothing of the other rooms."""
