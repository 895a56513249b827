"""torch for this room: one import, and one helpful line where it is missing."""

from __future__ import annotations

from luthier.base.imports import need

need("torch", what="luthier.shrink", extra="llm")
need("transformers", what="luthier.shrink", extra="llm")

import torch as torch  # noqa: E402
from torch import nn as nn  # noqa: E402
