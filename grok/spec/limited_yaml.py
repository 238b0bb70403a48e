"""YAML as people write it, read with limits: plain data of a bounded size, scalars as YAML 1.2 has them.

PyYAML reads YAML 1.1, in which `yes` is a boolean, `010` eight and `1e-3` a text; here they are a text, ten, a thousandth.
"""

from __future__ import annotations

import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1 << 20
"""Of a file."""
MOST_NODES = 30_000
"""Keys and values, an alias counted as often as it is used."""
MOST_DEEP = 16
"""Lists and mappings in one another."""
LONGEST_NUMBER = 40
"""Characters of a number."""
NULL, BOOL, INT, FLOAT, STR = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str"))
SCALARS = (
    (NULL, re.compile(r"~|null|Null|NULL|"), "~nN\0"),
    (BOOL, re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    (INT, re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), "-+0123456789"),
    (
        FLOAT,
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:merge", re.compile(r"<<"), "<"),
)
"""The core schema of YAML 1.2 (§10.3.2), and the merge key of 1.1: tag, form, and the characters that it begins with."""
FORMS = {tag: form for tag, form, _ in SCALARS} | {STR: re.compile(r"[^\ud800-\udfff]*")}
"""What a scalar of each tag may read, whoever has written the tag; a half of a pair of characters is no text."""
CORE = {
    yaml.ScalarNode: tuple(FORMS),
    yaml.SequenceNode: ("tag:yaml.org,2002:seq",),
    yaml.MappingNode: ("tag:yaml.org,2002:map",),
}
"""The tags of each kind of node: others, such as `!!timestamp`, `!!set` or one of your own, are not read."""


class TooMuchError(yaml.YAMLError):
    """A file asks for more than is read, or is no file."""


class _Loader(yaml.SafeLoader):
    """Data only. A key that is written twice is an error, not silently the last one."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    depth = nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node, no deeper than is allowed."""
        self.depth += 1
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise TooMuchError(f"a file must have at most {MOST_NODES} keys and values")
        if self.depth > MOST_DEEP:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise TooMuchError(f"lists and mappings must be at most {MOST_DEEP} deep, {_place(event)}")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys differ."""
        counted = Counter(key.value for key, _ in node.value if isinstance(key.value, str))
        if repeated := sorted(key for key, count in counted.items() if count > 1):
            raise yaml.constructor.ConstructorError(None, None, f"{repeated[0]:.80} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def whole(self, node: yaml.ScalarNode) -> int:
        """`10`, `010`, `0o12` and `0xa` are ten."""
        text = self._short(node)
        sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
        base = {"0o": 8, "0x": 16}.get(digits[:2].lower(), 10)
        return int(sign + digits[2 * (base != 10) :], base)

    def real(self, node: yaml.ScalarNode) -> float:
        """`1e-3`, `.5`, `.inf`."""
        text = self._short(node).lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))

    def _short(self, node: yaml.ScalarNode) -> str:
        text = str(node.value)
        if not 0 < len(text) <= LONGEST_NUMBER:
            raise TooMuchError(f"a number must have at most {LONGEST_NUMBER} characters, got {len(text)}, {_place(node)}")
        return text


for _tag, _form, _first in SCALARS:
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_form.pattern})$"), ["" if one == "\0" else one for one in _first])
_Loader.add_constructor(INT, _Loader.whole)
_Loader.add_constructor(FLOAT, _Loader.real)


def read(path: Path) -> Any:
    """The value of a YAML file.

    Raises:
        OSError: if it cannot be read.
        yaml.YAMLError: if it is not UTF-8 or not YAML, is no plain file, or has more in it than is read; the message names the
            place.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise TooMuchError("a plain file is read, not a folder, a pipe or a device")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise TooMuchError(f"a file must have at most {MOST_BYTES} bytes")
    try:
        loader = _Loader(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TooMuchError(f"a file must be UTF-8, got others from byte {error.start} on") from error
    try:
        try:
            node = loader.get_single_node()
        except (ValueError, OverflowError) as error:  # of PyYAML: a number of a directive, a character that is none
            raise yaml.scanner.ScannerError(None, None, f"{error!s:.80}", loader.get_mark()) from error
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(root: yaml.Node) -> None:
    """Walk the nodes as the tree that they unfold to, and give up beyond the limits: a bomb, or an anchor in itself."""
    left, waiting = MOST_NODES, [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        left -= 1
        if left < 0:
            raise TooMuchError(f"a file must have at most {MOST_NODES} keys and values, aliases unfolded, {_place(node)}")
        if depth > MOST_DEEP:
            raise TooMuchError(f"lists and mappings must be at most {MOST_DEEP} deep, aliases unfolded, {_place(node)}")
        _check_tag(node)
        if isinstance(node, yaml.MappingNode):
            waiting += [(part, depth + 1) for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(part, depth + 1) for part in node.value]


def _check_tag(node: yaml.Node) -> None:
    """Refuse what a node's tag does not fit: it was written there, and PyYAML would raise whatever it runs into."""
    if node.tag not in CORE[type(node)]:
        kind = type(node).__name__.removesuffix("Node").lower()
        told = f"a {kind} must have a core tag of YAML 1.2, got {node.tag:.80}"
        raise yaml.constructor.ConstructorError(None, None, told, node.start_mark)
    if isinstance(node, yaml.ScalarNode) and not FORMS[node.tag].fullmatch(node.value):
        kind = node.tag.rpartition(":")[2]
        raise yaml.constructor.ConstructorError(None, None, f"{node.value!a:.80} is not of the tag {kind}", node.start_mark)


def _place(where: Any) -> str:
    mark = getattr(where, "start_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "in a place not known"
