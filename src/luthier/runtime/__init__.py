"""runtime: where studies are kept (`storage`) and where trials run (`executors`).

Not here: decisions: what runs, and for how long, the study says.
"""
