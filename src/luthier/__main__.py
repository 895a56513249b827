"""`python -m luthier`: the command line."""

from __future__ import annotations

from luthier.cli import main

if __name__ == "__main__":
    main()
