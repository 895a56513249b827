"""schedulers: who spends the resource. One file is one algorithm; `_rungs.py` is what the halving family shares."""
