"""The expressions of a node's `when` and `skip_if_condition`: a small part of Python's own, read and never run.

Names: `severity`, `status`, `source`, `environment` (texts, "" where the run has none), `labels` (of the run's
gravest alert), `outputs` (of the nodes before this one, by id), and the ids of those nodes themselves. What lies
within is reached by `.name`, `["name"]` or `[0]`: `labels.team`, `check.has_errors`,
`analyze.recommendations[0].priority`. An id with `-` or `.` in it, or one that is a name already, goes through
`outputs`: `outputs["my-check"].checks_run`.

Operators: `and`, `or`, `not`, `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `not in`; texts, numbers, True, False, None
and lists of them. There are no calls and no arithmetic.

What is missing is None. `<` and its like hold between two numbers, two words of one scale (severity, the status of
a check, the priority of a recommendation: `severity >= "warning"`), or two other texts, and for nothing else.
Texts are equal where every character is. `in` looks into a list, a text, or the names of an object.
"""

import ast
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storage.vocabulary import AlertStatus, CheckStatus, RecommendationPriority, Severity
from tasks.definition.model import EXPRESSION_MAX_CHARS

DEPTH_MAX = 30
FACTS = ("severity", "status", "source", "environment", "labels", "outputs")
# Words that are more or less than each other, each list from the least on.
SCALES: tuple[tuple[str, ...], ...] = (
    (Severity.INFO, Severity.WARNING, Severity.CRITICAL),
    tuple(RecommendationPriority),
    (CheckStatus.OK, CheckStatus.WARNING, CheckStatus.CRITICAL),
)
# What these facts can be at all: another word beside them is mistyped.
_WORDS: dict[str, tuple[str, ...]] = {"severity": (*Severity, ""), "status": (*AlertStatus, "")}
_CONSTANTS = (str, int, float, bool, type(None))
_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ALLOWED = (
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.List,
    ast.Tuple,
    ast.BoolOp,
    ast.UnaryOp,
    ast.Compare,
)
_REFUSED: dict[type[ast.expr], str] = {
    ast.Call: "nothing can be called",
    ast.BinOp: 'there is no arithmetic; an id with - in it is written outputs["the-id"]',
    ast.Lambda: "there are no functions",
    ast.JoinedStr: "there are no f-strings",
    ast.IfExp: "there is no if",
}


class ConditionError(Exception):
    """The text is no expression of this language. `column` counts from 1."""

    def __init__(self, what: str, *, column: int = 1) -> None:
        super().__init__(f"at character {column}: {what}")
        self.column = column


@dataclass(frozen=True)
class Condition:
    """A checked expression."""

    text: str
    tree: ast.expr

    def nodes(self) -> Iterator[tuple[str, int]]:
        """The ids of the nodes that it looks at, each with its column."""
        for part in ast.walk(self.tree):
            if isinstance(part, ast.Name) and part.id not in FACTS:
                yield part.id, part.col_offset + 1
            elif isinstance(part, ast.Attribute | ast.Subscript) and _is_outputs(part.value):
                yield str(_key(part)), part.col_offset + 1

    def facts(self) -> set[str]:
        """Which of the facts it looks at; `outputs` where it looks at a node."""
        names = {part.id for part in ast.walk(self.tree) if isinstance(part, ast.Name)}
        return {name if name in FACTS else "outputs" for name in names}

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether it is so. `facts` are JSON values by the names of FACTS. Raises nothing."""
        try:
            return bool(_value(self.tree, facts))
        except RecursionError:  # two outputs that are nested beyond all measure are held against each other
            return False


def read_condition(text: str) -> Condition:
    """A checked expression. Raises ConditionError."""
    if len(text) > EXPRESSION_MAX_CHARS:
        raise ConditionError(f"it is longer than {EXPRESSION_MAX_CHARS} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        # What is wrong with the end has no place of its own, or one in a line that there is not.
        column = error.offset if error.offset and error.lineno == 1 else len(text.strip()) + 1
        raise ConditionError(error.msg, column=column) from None
    except (ValueError, RecursionError, MemoryError):
        raise ConditionError("it cannot be read") from None
    _check(tree, depth=1)
    return Condition(text.strip(), tree)


def _check(part: ast.expr, *, depth: int) -> None:
    column = part.col_offset + 1
    if depth > DEPTH_MAX:
        raise ConditionError(f"it is nested deeper than {DEPTH_MAX} levels", column=column)
    if fault := _fault(part):
        raise ConditionError(fault, column=column)
    if isinstance(part, ast.Compare):
        _check_words([part.left, *part.comparators])
    for inner in _parts(part):
        _check(inner, depth=depth + 1)


def _fault(part: ast.expr) -> str:
    match part:
        case ast.Constant(value=value) if not isinstance(value, _CONSTANTS):
            return "only texts, numbers, True, False and None can stand here"
        case ast.Attribute(attr=name) if name.startswith("__"):
            return f"{name} is out of bounds"
        case ast.Subscript(slice=key) if not (isinstance(key, ast.Constant) and type(key.value) in {str, int}):
            return 'in brackets stands a text or a number, as in labels["team"]'
        case ast.Compare(ops=signs) if any(isinstance(sign, ast.Is | ast.IsNot) for sign in signs):
            return "`is` is written =="
        case ast.UnaryOp(op=sign) if not isinstance(sign, ast.Not) and not _is_negative_number(part):
            return "of signs there are only `not`, and - before a number"
    return "" if isinstance(part, _ALLOWED) else _REFUSED.get(type(part), "this has no place in a condition")


def _is_negative_number(part: ast.UnaryOp) -> bool:
    is_number = isinstance(part.operand, ast.Constant) and isinstance(part.operand.value, int | float)
    return isinstance(part.op, ast.USub) and is_number


def _parts(part: ast.expr) -> list[ast.expr]:
    match part:
        case ast.Attribute(value=value) | ast.Subscript(value=value) | ast.UnaryOp(operand=value):
            return [value]
        case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
            return parts
        case ast.Compare(left=left, comparators=others):
            return [left, *others]
    return []


def _check_words(compared: Collection[ast.expr]) -> None:
    known = next((_WORDS[each.id] for each in compared if isinstance(each, ast.Name) and each.id in _WORDS), None)
    if known is None:
        return
    listed = [inner for each in compared if isinstance(each, ast.List | ast.Tuple) for inner in each.elts]
    for each in (*compared, *listed):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value not in known:
            words = ", ".join(word for word in known if word)
            raise ConditionError(f"{each.value!r} is none of {words}", column=each.col_offset + 1)


def _is_outputs(part: ast.expr) -> bool:
    return isinstance(part, ast.Name) and part.id == "outputs"


def _key(part: ast.Attribute | ast.Subscript) -> str | int:
    key: Any = part.attr if isinstance(part, ast.Attribute) else getattr(part.slice, "value", "")
    return key if isinstance(key, int) else str(key)


def _value(part: ast.expr, facts: Mapping[str, Any]) -> Any:  # noqa: PLR0911  (one for each kind of part)
    match part:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return facts.get(name) if name in FACTS else _inside(facts.get("outputs"), name)
        case ast.Attribute() | ast.Subscript():
            return _inside(_value(part.value, facts), _key(part))
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(each, facts) for each in parts]
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(each, facts) for each in parts)
        case ast.BoolOp(values=parts):
            return any(_value(each, facts) for each in parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, facts)
        case ast.UnaryOp(operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Compare():
            return _compared(part, facts)
    return None


def _compared(part: ast.Compare, facts: Mapping[str, Any]) -> bool:
    left = _value(part.left, facts)
    for sign, other in zip(part.ops, part.comparators, strict=True):
        right = _value(other, facts)
        if not _is_so(sign, left, right):
            return False
        left = right
    return True


def _is_so(sign: ast.cmpop, left: Any, right: Any) -> bool:
    match sign:
        case ast.Eq():
            return bool(left == right)
        case ast.NotEq():
            return bool(left != right)
        case ast.In():
            return _is_in(left, right)
        case ast.NotIn():
            return not _is_in(left, right)
    return _is_ordered(_ORDERS[type(sign)], left, right)


def _is_in(part: Any, whole: Any) -> bool:
    if isinstance(whole, str | Mapping):
        return isinstance(part, str) and part in whole
    return isinstance(whole, list) and part in whole


def _is_ordered(order: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        for scale in SCALES:
            if left in scale and right in scale:
                return order(scale.index(left), scale.index(right))
        has_rank = any(left in scale or right in scale for scale in SCALES)
        return not has_rank and order(left, right)
    return isinstance(left, int | float) and isinstance(right, int | float) and order(left, right)


def _inside(whole: Any, key: str | int) -> Any:
    if isinstance(key, str):
        return whole.get(key) if isinstance(whole, Mapping) else None
    if isinstance(whole, list) and -len(whole) <= key < len(whole):
        return whole[key]
    return None
