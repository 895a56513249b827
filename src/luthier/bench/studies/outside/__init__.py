"""Optimisers that run in an environment of their own, each in its own process, as tools of a study.

`catalogue` says which there are, `client` speaks with them, `spoken` says a space in words that all of them know.
What runs on their side lies in `scripts`: files that need the standard library and the tool alone.
"""
