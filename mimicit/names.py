"""Names from strangers, spelled so that they may be published."""

import re

FILE_NAME = r"^[^/\\\x00-\x1f\x7f]*[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*$"
"""A file's name and nothing else: whoever writes a file of that name stays in his folder."""

_PART = r"(\.|\.?[^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]*|\.\.[^/\x00-\x1f\x7f]+)"
RELATIVE_PATH = rf"^{_PART}(/+{_PART})*$"
"""A path that does not lead out of its directory: relative, and no part of it is `..`."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def escape_id(text: str) -> str:
    """Spell any source id with letters that every format and file system takes.

    Injective: what is not in `[A-Za-z0-9._-]` becomes `~` and its code point in hex, then `~`.
    """
    return re.sub(r"[^A-Za-z0-9._-]", lambda m: f"~{ord(m.group()):x}~", text)


def published_path(name: str) -> str:
    """Spell a path below a source's directory, without control characters."""
    return _UNPRINTABLE.sub("\ufffd", name.replace("\\", "/").lstrip("/"))
