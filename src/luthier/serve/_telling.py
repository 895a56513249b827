"""Where errors are told that a reader of a page is not shown, because they name files: the log `luthier`."""

from __future__ import annotations

import logging

logger = logging.getLogger("luthier.serve")


def tell(error: BaseException) -> None:
    """Note an error, without what was asked for: an address may hold a token."""
    logger.warning("%s: %s", type(error).__name__, error)
