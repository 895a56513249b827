"""stopping: when the whole study ends.

A rule looks at the history of a study and says whether to go on; each file here is one rule, named as its file.

Not here: the end of single trials, which the schedulers decide.
"""

from luthier.stopping._threshold import standard_error

__all__ = ["standard_error"]
