"""models: surrogates on plain arrays. Rows are points of the unit cube, values are to be minimised.

Not here: names of hyperparameters, trials, and random state of their own: a generator is passed.
"""
