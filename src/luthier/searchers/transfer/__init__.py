"""Searchers that propose from earlier studies; each file is one, named as its file."""
