"""Rules such as ``block 5 > 0.7 and not (block 2 >= 0.1 or class == 3)``: read, checked, never executed."""

import ast
import operator
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hetero.errors import HeteroError

LONGEST = 2000  # characters

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<pair>(?:block|chain|mask)\s+(?!(?:and|or|not)\b)[\w+]+)
    |(?P<word>[^\W\d][\w.+]*)
    |(?P<operator><=|>=|==|!=|=|<|>)
    |(?P<sign>[()-]))""",
    re.VERBOSE | re.IGNORECASE,
)
_COMPARE = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """A checked rule.

    Attributes:
        text: as it was given.
        columns: the columns it speaks of.
        tree: comparisons of ``c0``, ``c1`` ... (the columns) and numbers, joined, as Python's syntax tree.
    """

    text: str
    columns: tuple[str, ...]
    tree: ast.expr

    def holds(self, table: pd.DataFrame) -> np.ndarray:
        """``(n,)`` bool: rows for which the rule is true. A row without a number in one of its columns never is."""
        values = {f"c{i}": table[column].to_numpy(dtype=float) for i, column in enumerate(self.columns)}
        known = np.isfinite(table[list(self.columns)].to_numpy(dtype=float)).all(axis=1)
        return _truth(self.tree, values) & known


def parse_rule(text: str, columns) -> Rule:
    """Check a rule against the columns of a table.

    Comparisons ``<  <=  >  >=  ==  !=`` of columns with numbers or with each other, chained if wished
    (``0.2 < block_03 < 0.8``), joined by ``and``, ``or``, ``not`` and parentheses. ``block 5`` is ``block_05`` (or
    ``block_5``), ``chain A`` is ``chain_A``; any other name may stand in quotes.

    Raises:
        HeteroError: no rule, or a column that is not there; says what was not understood.
    """
    if len(text) > LONGEST:
        raise HeteroError(f"The rule has {len(text):,} characters; {LONGEST:,} at most were expected.")
    names = [str(c) for c in columns]
    used: list[str] = []
    words, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unclear(text, text[at:].split(maxsplit=1)[0])
        words.append(_python_word(match, names, used))
        at = match.end()
    try:
        tree = ast.parse(" ".join(words), mode="eval").body
        _check(tree, text)
    except (SyntaxError, RecursionError, MemoryError):
        raise _unclear(text, "") from None
    return Rule(text.strip(), tuple(used), tree)


def _python_word(match: re.Match, names: list[str], used: list[str]) -> str:
    kind, text = match.lastgroup, match[match.lastgroup]
    if kind == "word" and text.lower() in ("and", "or", "not"):
        return text.lower()
    if kind in ("quoted", "pair", "word"):
        column = _column(text, kind, names)
        if column not in used:
            used.append(column)
        return f"c{used.index(column)}"
    if kind == "number":
        return repr(float(text))
    return "==" if text == "=" else text


def _column(text: str, kind: str, names: list[str]) -> str:
    wanted = text[1:-1] if kind == "quoted" else text
    if wanted in names:
        return wanted
    if kind == "pair":
        noun, which = text.split()
        plain = re.compile(rf"{noun}_0*{re.escape(which.lstrip('0') or '0')}", re.IGNORECASE)
        found = [name for name in names if plain.fullmatch(name)]
        if len(found) == 1:
            return found[0]
    some = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
    raise HeteroError(f"The rule speaks of '{wanted}', which is not measured there; what is: {some}.")


def _check(node: ast.AST, text: str) -> None:
    """Refuse everything that is not a comparison, or comparisons joined."""
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            _check(value, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check(node.operand, text)
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        if not any(isinstance(side, ast.Name) for side in sides) or not all(map(_is_value, sides)):
            raise _unclear(text, "")
    else:
        raise _unclear(text, "")


def _is_value(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
        return isinstance(node, ast.Constant)
    return isinstance(node, (ast.Name, ast.Constant))


def _truth(node: ast.AST, values: dict[str, np.ndarray]) -> np.ndarray:
    if isinstance(node, ast.BoolOp):
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return join.reduce([_truth(value, values) for value in node.values])
    if isinstance(node, ast.UnaryOp):
        return ~_truth(node.operand, values)
    sides = [_value(side, values) for side in (node.left, *node.comparators)]
    pairs = zip(node.ops, sides, sides[1:], strict=False)
    parts = [_COMPARE[type(op)](left, right) for op, left, right in pairs]
    return np.logical_and.reduce(np.broadcast_arrays(*parts))


def _value(node: ast.AST, values: dict[str, np.ndarray]) -> np.ndarray | float:
    if isinstance(node, ast.Name):
        return values[node.id]
    return -node.operand.value if isinstance(node, ast.UnaryOp) else node.value


def _unclear(text: str, word: str) -> HeteroError:
    at = f" at '{word[:20]}'" if word else ""
    return HeteroError(
        f"The rule '{text[:80]}' cannot be understood{at}; one like 'block 5 > 0.7 and block 2 < 0.1' was expected."
    )
