"""Text into a page without becoming part of it: every word of a user is escaped here, and only here."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from typing import Any


def escape(text: object) -> str:
    """A text for the inside of an element or of a quoted attribute."""
    # characters that only steer a terminal or turn the writing direction have no business in a report
    shown = "".join(char for char in str(text) if char.isprintable() or char in "\n\t")
    return html.escape(shown, quote=True)


def embed(value: Any) -> str:
    """JSON for the inside of a `<script type="application/json">` element.

    Raises:
        ValueError: a number is not finite (tables turn those into None or text).
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate cannot be written


def element(tag: str, inside: str, **attributes: object) -> str:
    """An element; `inside` is markup already, attributes are escaped. `class_` and `aria_label` become HTML names."""
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    written = "".join(f' {names[name]}="{escape(value)}"' for name, value in attributes.items())
    return f"<{tag}{written}>{inside}</{tag}>"


def digest(script: str) -> str:
    """Source expression of a script for a content security policy."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
