"""The grammar of hierarchy tags.

A tag is one segment per module on the call path::

    /BertModel/BertEncoder.encoder/BertLayer.layer.0/BertAttention.attention
     ^root      ^Class   ^path relative to the enclosing segment's module

Grammar (``docs/reference/tags.md``)::

    tag      = 1*( "/" segment )
    segment  = class [ "." path ]        ; the root segment has no path, every other one has
    class    = 1*escaped                 ; "%", "/", "." percent-encoded
    path     = name *( "." name )        ; "%", "/" percent-encoded, "." separates as in ``nn.Module`` names

White space and control characters are percent-encoded (UTF-8) in both, so a tag is always one printable word.
Tag and (module path, class names) determine each other, so two different modules never share a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

# "C*" (control, format, surrogate, private, unassigned) and "Z*" (separators) never appear raw in a tag.
_UNSAFE_CATEGORIES = ("C", "Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-F]{2})")


def _escape(text: str, reserved: str) -> str:
    from unicodedata import category  # deferred: most runs of the plugin never make a tag

    if text.isascii() and text.isprintable() and {*reserved, " "}.isdisjoint(text):
        return text
    return "".join(
        "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        if char in reserved or char.isspace() or category(char)[0] in _UNSAFE_CATEGORIES
        else char
        for char in text
    )


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    return unquote(text, errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class HierarchyTag:
    """The tag of a module: its call path as (class name, path relative to the enclosing module) segments.

    Attributes:
        segments: ``((class, ""), (class, relative path), …)``, root first, unescaped.
    """

    segments: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if not self.segments:
            raise ValueError("a hierarchy tag needs at least the root's segment, like '/BertModel'")
        for position, (class_name, path) in enumerate(self.segments):
            if not class_name:
                raise ValueError(f"segment {position + 1} of a hierarchy tag has no class name")
            if path and not all(path.split(".")):
                raise ValueError(f"segment {position + 1} of a hierarchy tag has an empty name in its path {path!r}")
            if bool(path) != bool(position):
                expected = "a relative path" if position else "no path: the root is its class alone"
                raise ValueError(f"segment {position + 1} of a hierarchy tag ({class_name!r}) needs {expected}")

    @classmethod
    def from_modules(cls, modules: Iterable[tuple[str, str]]) -> HierarchyTag:
        """Build a tag from ``(absolute module path, class name)`` pairs, root (path ``""``) first.

        Raises:
            ValueError: a path does not lie inside the one before it.
        """
        segments: list[tuple[str, str]] = []
        enclosing = ""
        for path, class_name in modules:
            if not segments:
                if path:
                    raise ValueError(f"the first module of a tag is the root (path ''), not {path!r}")
                relative = ""
            elif not enclosing and path:
                relative = path
            elif path.startswith(f"{enclosing}.") and enclosing:
                relative = path[len(enclosing) + 1 :]
            else:
                raise ValueError(f"module {path!r} does not lie inside {enclosing!r}")
            segments.append((class_name, relative))
            enclosing = path
        return cls(tuple(segments))

    @classmethod
    def parse(cls, text: str) -> HierarchyTag:
        """Read a tag. Raises ValueError, naming the tag and the place, where it does not fit the grammar."""
        if not isinstance(text, str) or not text.startswith("/"):
            raise ValueError(f"not a hierarchy tag (it must start with '/'): {text!r}")
        segments = []
        for position, segment in enumerate(text[1:].split("/")):
            class_name, dot, path = segment.partition(".")
            if not class_name or bool(dot) != bool(position) or (dot and not path):
                shape = "'Class.relative.path'" if position else "the root's class alone"
                raise ValueError(f"segment {position + 1} of tag {text!r} must be {shape}, got {segment!r}")
            if _BAD_ESCAPE.search(segment):
                raise ValueError(f"segment {position + 1} of tag {text!r} has a '%' that is no upper-case escape")
            try:
                segments.append((_unescape(class_name), _unescape(path)))
            except UnicodeDecodeError as error:
                raise ValueError(f"segment {position + 1} of tag {text!r} is not UTF-8 when decoded") from error
        tag = cls(tuple(segments))
        if str(tag) != text:
            raise ValueError(f"tag {text!r} is not in canonical form; it would be written {str(tag)!r}")
        return tag

    @property
    def module_path(self) -> str:
        """Absolute path of the innermost module, ``""`` for the root."""
        return ".".join(path for _, path in self.segments if path)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, root first."""
        return tuple(class_name for class_name, _ in self.segments)

    @property
    def depth(self) -> int:
        """Number of segments; the root's tag has depth 1."""
        return len(self.segments)

    @property
    def module_paths(self) -> tuple[str, ...]:
        """Absolute path of every module on the call path, root first."""
        return _paths(relative for _, relative in self.segments[1:])

    def __str__(self) -> str:
        return "".join(segment(class_name, path) for class_name, path in self.segments)


def segment(class_name: str, path: str) -> str:
    """One module of a tag: what the tag of the module that calls it is continued by."""
    return f"/{_escape(class_name, '%/.')}" + (f".{_escape(path, '%/')}" if path else "")


def paths_in(tag: str) -> tuple[str, ...]:
    """:attr:`HierarchyTag.module_paths` of what is known to be a tag: without reading it again."""
    return _paths(_unescape(part.partition(".")[2]) for part in tag.split("/")[2:])


def _paths(relative: Iterable[str]) -> tuple[str, ...]:
    paths = [""]
    for name in relative:
        paths.append(f"{paths[-1]}.{name}" if paths[-1] else name)
    return tuple(paths)
