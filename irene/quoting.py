"""Text that others wrote, made safe to show: short, on one line, without codes that command a terminal."""

from __future__ import annotations

import html


def quote(value: object, most: int = 80) -> str:
    r"""The value as Python writes it, at most about `most` characters: for a name or a value inside a message.

    >>> quote("bert\x1b[31m"), quote("a" * 1000, most=12)
    ("'bert\\x1b[31m'", "'aaaa...aaaa'")
    """
    if isinstance(value, str) and len(value) > most:  # not the repr of a whole megabyte first
        value = f"{value[: most // 2]}{value[-(most // 2) :]}"
        text = repr(value)
    else:
        text = repr(value)
        if len(text) <= most:
            return escape_controls(text)
    half = (most - 3) // 2
    return escape_controls(f"{text[: half + 1]}...{text[-half - 1 :]}")


def escape_controls(text: str, keep: str = "") -> str:
    r"""The text with an escape for each character that is not printed but acts; those in `keep` stay.

    That is what a terminal obeys, what turns the direction of text around, what has no width, and half characters that
    no encoding can write.

    >>> escape_controls("a\x1b[2Jb\n"), escape_controls("a\nb\x07", keep="\n")
    ('a\\x1b[2Jb\\n', 'a\nb\\x07')
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escape(character) for character in text
    )


def escape_html(text: str) -> str:
    r"""The text for a page of HTML: no element, no attribute, and nothing that acts where the page's source is read.

    >>> escape_html("<b>\x1b")
    '&lt;b&gt;\\x1b'
    """
    return html.escape(escape_controls(text, keep="\n"))


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode() if character > "\x7f" else repr(character)[1:-1]
