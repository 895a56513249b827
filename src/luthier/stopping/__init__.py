"""stopping: when the whole study ends.

A rule looks at the history of a study and says whether to go on; each file here is one rule, named as its file.
"""

from luthier.stopping._threshold import standard_error

__all__ = ["standard_error"]
