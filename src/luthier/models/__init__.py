"""models: surrogates on plain arrays. Rows are points of the unit cube, values are to be minimised."""
