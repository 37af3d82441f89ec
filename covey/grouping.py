"""Key templates and group rules: from a key to its fields, its series and its group. Pure.

A *template* such as `/positions/{scene}/{actor}/{tick:int}` names the fields of a key. A field never crosses a `/`;
`{name:int}` is an integer and, where a pool has one, its *index*: the order of its objects within a *series*, which
is the key with the index left out. Everything compiles to RE2, whose matching time is linear in the key whatever the
pattern; the standard library's `re` would let one user's pattern stop a process.

A *group rule* says which objects are used together. It is a hint: it decides where things live and never what a
program computes.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from covey.errors import DeclarationError, InvalidArgument, Reason

if TYPE_CHECKING:
    import re2

KEY_BYTES_MAX = 1024
INDEX_DIGITS_MAX = 18
"""Every index fits into 64 bits, with its sign."""
PATTERN_BYTES_MAX = 1024
PATTERN_MEMORY_BYTES_MAX = 1 << 20

Fields = Mapping[str, str | int]


class Scope(NamedTuple):
    """Whose objects: groups, pools and event ids of two scopes never meet."""

    tenant: str
    pipeline: str


class Field(NamedTuple):
    """One placeholder of a template."""

    name: str
    is_index: bool


class Template:
    """A compiled key template. Two templates are equal when their texts are."""

    def __init__(self, text: str) -> None:
        if not text.startswith("/") or text.endswith("/") or "//" in text:
            raise DeclarationError(f"template {text!r} must start with '/', not end with '/', and have no empty part")
        self.text = text
        self._parts = _parse(text)
        self.fields = tuple(part for part in self._parts if isinstance(part, Field))
        names = [field.name for field in self.fields]
        for name in names:
            if names.count(name) > 1:
                raise DeclarationError(f"template {text!r} uses the field {name!r} twice")
        indices = [field.name for field in self.fields if field.is_index]
        if len(indices) > 1:
            raise DeclarationError(f"template {text!r} has two ':int' fields, {indices}; a pool has one index at most")
        self.index = indices[0] if indices else None
        self.names = tuple(names)
        self._path = _as_path(self._parts)
        self._matcher = _matcher(self._parts) if self._path is None else None

    def match(self, key: str) -> dict[str, str | int] | None:
        """The fields of `key`, typed, or None when the template does not match it."""
        if self._path is not None:
            return _match_path(self._path, key)
        assert self._matcher is not None
        found = self._matcher.fullmatch(key)
        if found is None:
            return None
        values: dict[str, str | int] = dict(zip(self.names, found.groups(), strict=True))
        if self.index is not None:
            values[self.index] = int(values[self.index])
        return values

    def render(self, fields: Fields) -> str:
        """The key with these fields. Raises InvalidArgument when one is missing or cannot stand in a key."""
        return "".join([part if isinstance(part, str) else _value(self, part, fields) for part in self._parts])

    def series(self, fields: Fields) -> str:
        """The key with `*` for its index (which no integer renders to): what `last(k)` looks through."""
        return "".join(
            [
                part if isinstance(part, str) else "*" if part.is_index else _value(self, part, fields)
                for part in self._parts
            ]
        )

    def may_match_a_key_of(self, other: Template) -> bool:
        """Whether some key could match both; errs on the side of yes for fields that share a path part with text."""
        mine, theirs = self.text.split("/"), other.text.split("/")
        return len(mine) == len(theirs) and all(_parts_meet(a, b) for a, b in zip(mine, theirs, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


def _parse(text: str) -> list[str | Field]:
    """Cut a template into literal text and fields."""
    parts: list[str | Field] = []
    rest = text
    while rest:
        literal, brace, rest = rest.partition("{")
        if "}" in literal:
            raise DeclarationError(f"template {text!r} closes a '}}' that it never opened")
        if literal:
            parts.append(literal)
        if not brace:
            break
        body, closing, rest = rest.partition("}")
        name, _, kind = body.partition(":")
        if not closing or not name.isidentifier() or kind not in ("", "int", "str"):
            raise DeclarationError(f"template {text!r}: a field is {{name}} or {{name:int}}, not {{{body}}}")
        if parts and isinstance(parts[-1], Field):
            raise DeclarationError(f"template {text!r}: nothing stands between the fields {parts[-1].name} and {name}")
        parts.append(Field(name, kind == "int"))
    return parts


class Path(NamedTuple):
    """A template whose path parts are each either text or one field: how many, and which stands where."""

    length: int
    texts: tuple[tuple[int, str], ...]
    fields: tuple[tuple[int, Field], ...]


def _as_path(parts: Sequence[str | Field]) -> Path | None:
    """The template as path parts that are either text or one field, which most are; None for one that mixes them."""
    path: list[str | Field] = []
    for part in parts:
        if isinstance(part, Field):
            if path.pop() != "":
                return None
            path.append(part)
        else:
            pieces = part.split("/")
            if path and pieces[0] != "":
                return None
            path += pieces[1:] if path else pieces
    texts = tuple((at, part) for at, part in enumerate(path) if isinstance(part, str))
    return Path(len(path), texts, tuple((at, part) for at, part in enumerate(path) if isinstance(part, Field)))


def _match_path(path: Path, key: str) -> dict[str, str | int] | None:
    """What RE2 would find, an order of magnitude sooner: every key of every object passes here."""
    parts = key.split("/")
    if len(parts) != path.length:
        return None
    for at, text in path.texts:
        if parts[at] != text:
            return None
    values: dict[str, str | int] = {}
    for at, (name, is_index) in path.fields:
        value = _as_index(parts[at]) if is_index else parts[at]
        if value is None or value == "":
            return None
        values[name] = value
    return values


def _as_index(text: str) -> int | None:
    """An integer in its one spelling."""
    if text.isdigit() and text[0] != "0" and text.isascii() and len(text) <= INDEX_DIGITS_MAX:
        return int(text)
    digits = text[1:] if text[:1] == "-" else text
    if not (digits.isascii() and digits.isdigit()) or (digits[0] == "0" and text != "0"):
        return None
    if len(digits) > INDEX_DIGITS_MAX:
        return None
    return int(text)


def _matcher(parts: Sequence[str | Field]) -> re2._Regexp[str]:
    """For templates that mix text and fields in a path part. RE2 is loaded only for these and for users' patterns: the
    simulator meets neither, and so runs on interpreters for which RE2 is not built.
    """
    import re2

    def pattern(part: str | Field) -> str:
        if isinstance(part, str):
            return str(re2.escape(part))
        # One spelling per integer, so that a key and its fields name the same object.
        return f"(0|-?[1-9][0-9]{{0,{INDEX_DIGITS_MAX - 1}}})" if part.is_index else "([^/]+?)"

    return re2.compile("".join(map(pattern, parts)))


def _value(template: Template, field: Field, fields: Fields) -> str:
    try:
        value = fields[field.name]
    except KeyError:
        raise InvalidArgument(f"key {template.text!r} needs the field {field.name!r}") from None
    if field.is_index and not isinstance(value, int):
        raise InvalidArgument(f"field {field.name!r} of {template.text!r} is an integer, not {value!r}")
    text = str(value)
    if field.is_index and len(text.lstrip("-")) > INDEX_DIGITS_MAX:
        raise InvalidArgument(f"field {field.name!r} of {template.text!r} has at most {INDEX_DIGITS_MAX} digits")
    if not text or "/" in text:
        raise InvalidArgument(f"field {field.name!r} of {template.text!r} can't be {text!r}: empty, or with a '/'")
    return text


def _parts_meet(mine: str, theirs: str) -> bool:
    """Whether one path part could match both texts."""
    if "{" not in mine and "{" not in theirs:
        return mine == theirs
    for text, pattern in ((mine, theirs), (theirs, mine)):
        if "{" not in text:
            return _matcher(_parse(pattern)).fullmatch(text) is not None
    return True


class GroupRule(Protocol):
    """Which group a key belongs to; None when the rule does not match it."""

    @property
    def text(self) -> str: ...

    def group_of(self, key: str, fields: Fields) -> str | None: ...


@dataclass(frozen=True, slots=True)
class TemplateRule:
    """A group named by fields of the key, such as `{scene}/{actor}`."""

    text: str

    def group_of(self, key: str, fields: Fields) -> str | None:
        return self.text.format_map(fields)

    @property
    def names(self) -> tuple[str, ...]:
        return _names_in(self.text)


@dataclass(frozen=True, slots=True)
class PatternRule:
    """A group found in the key by an RE2 pattern: its group named `group`, else the whole match.

    A key in which the pattern matches more than once has no group: which match was meant would be a guess.
    """

    text: str

    def group_of(self, key: str, fields: Fields) -> str | None:
        pattern = _compiled_pattern(self.text)
        found = pattern.search(key)
        if found is None:
            return None
        if "group" in pattern.groupindex:
            return str(found.group("group") or "") or None
        again = pattern.search(key, found.end()) if found.end() < len(key) else None
        return None if again is not None and again.group() else str(found.group()) or None


@dataclass(frozen=True, slots=True)
class FunctionRule:
    """A group computed by a Python function of the key, named `module:function` and importable without torch."""

    text: str

    def group_of(self, key: str, fields: Fields) -> str | None:
        function = _imported_function(self.text)
        try:
            group = function(key)
        except Exception as error:  # noqa: BLE001  the user's function: its mistake ends a request, never a process
            message = f"the group function {self.text!r} raised {type(error).__name__} for key {key!r}"
            raise InvalidArgument(message, Reason.NO_GROUP) from error
        return None if group is None else str(group) or None


@functools.lru_cache(maxsize=1024)
def _names_in(text: str) -> tuple[str, ...]:
    return tuple(part.name for part in _parse(text) if isinstance(part, Field))


@functools.lru_cache(maxsize=1024)
def _compiled_pattern(text: str) -> re2._Regexp[str]:
    import re2

    options = re2.Options()
    options.max_mem = PATTERN_MEMORY_BYTES_MAX
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raise DeclarationError(f"group pattern {text!r} is not RE2: {error}") from None


@functools.lru_cache(maxsize=1024)
def _imported_function(text: str) -> Callable[[str], str | None]:
    """The function, for gateways, schedulers and datastores too, which have neither torch nor the user's `__main__`."""
    path, _, name = text.partition(":")
    if path == "__main__":
        raise DeclarationError(f"group function {text!r}: name the module as others import it, not `__main__`")
    try:
        module = importlib.import_module(path)
        function = getattr(module, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DeclarationError(f"group function {text!r} can't be imported: {error}") from None
    if not callable(function):
        raise DeclarationError(f"group function {text!r} is not callable")
    for taken in vars(module).values():
        source = taken.__name__ if isinstance(taken, ModuleType) else getattr(taken, "__module__", None)
        if isinstance(source, str) and source.partition(".")[0] == "torch":
            raise DeclarationError(
                f"group function {text!r} is in a module that imports torch, which gateways, schedulers and datastores "
                f"do without: move it into a module of its own"
            )
    return function  # type: ignore[no-any-return]


def checked_rule(kind: str, text: str, template: Template) -> GroupRule:
    """The rule of that kind (`template`, `pattern`, `function`), or a DeclarationError that says what is wrong."""
    match kind:
        case "template":
            rule = TemplateRule(text)
            for name in rule.names:
                if name not in template.names:
                    known = ", ".join(template.names) or "none"
                    raise DeclarationError(
                        f"group {text!r} names {name!r}, which {template.text!r} lacks (it has {known})"
                    )
            return rule
        case "pattern":
            if len(text.encode()) > PATTERN_BYTES_MAX:
                raise DeclarationError(f"group pattern is longer than {PATTERN_BYTES_MAX} bytes")
            named = _compiled_pattern(text).groupindex
            if named and "group" not in named:
                raise DeclarationError(
                    f"group pattern {text!r} names {', '.join(named)}: call the part that is the group `(?P<group>...)`"
                )
            return PatternRule(text)
        case "function":
            _imported_function(text)
            return FunctionRule(text)
    raise DeclarationError(f"a group rule is a template, a pattern or a function, not {kind!r}")


@functools.lru_cache(maxsize=65_536)
def rendezvous(scope: Scope, group: str, nodes: Sequence[str]) -> str:
    """The default home of a group: the node with the highest hash of (node, scope, group).

    Thaler and Ravishankar's highest random weight: everyone computes the same answer from the same nodes, and only
    the groups of a node that comes or goes move. Raises ValueError without nodes.
    """
    return max(nodes, key=_weigher(scope, group))


@functools.lru_cache(maxsize=65_536)
def ranked(scope: Scope, group: str, nodes: Sequence[str]) -> tuple[str, ...]:
    """All nodes by falling weight, the default home first: where copies of a group go."""
    return tuple(sorted(nodes, key=_weigher(scope, group), reverse=True))


def _weigher(scope: Scope, group: str) -> Callable[[str], tuple[bytes, str]]:
    text = "\0".join((*scope, group)).encode()
    return lambda node: (hashlib.blake2b(text, key=node.encode()[:64], digest_size=8).digest(), node)


def check_key(key: str) -> None:
    """Refuse a key that could not be any pool's."""
    if not key.startswith("/") or len(key.encode()) > KEY_BYTES_MAX:
        raise InvalidArgument(
            f"a key starts with '/' and has at most {KEY_BYTES_MAX} bytes: {key[:80]!r}", Reason.MALFORMED
        )
