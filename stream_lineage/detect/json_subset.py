"""Whether every value that is valid under one JSON Schema is valid under another.

By contradiction: that some value is valid under the one and not under the other is refuted for each type of values, by
cases (an analytic tableau) down to literals about numbers, lengths, items and members, where items and members raise
the same question again. A question that comes up while it is being answered may be taken for refuted: a smallest value
that answers it would hold a smaller one.

What is refuted is certain. Where nothing can be proved (two different regular expressions), or a bound on the steps is
reached, the answer is no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations

from stream_lineage.detect.json_containers import no_array, no_object
from stream_lineage.detect.json_literals import Formula, Literal, conjuncts, discriminated, opposite
from stream_lineage.detect.json_scalars import no_number, no_string
from stream_lineage.detect.json_types import Node, kind_of
from stream_lineage.detect.json_values import holds

MAX_STEPS = 100_000
"""For one pair of documents: about two seconds."""
_MAX_LEVELS = 200
_QUESTION, _CASE = 5, 2
"""Levels that a question within a question takes, and a case within a case: so that the stack suffices."""
_MAX_EXCLUSIVE = 200
"""Branches of a oneOf that are compared each with each."""
_KINDS = ("number", "string", "array", "object")
_Goal = tuple[frozenset[Node], frozenset[Node]]


class Subsets:
    """Answers for the nodes of one call of ``assign_keys``."""

    def __init__(self, max_steps: int = MAX_STEPS) -> None:
        self._steps_left = max_steps
        self._level = 0
        self._known: dict[int, Node] = {}
        self._answers: dict[_Goal, bool] = {}
        self._open: dict[_Goal, int] = {}
        self._assumed = _NONE
        self._exclusives: dict[int, bool] = {}

    def within(self, inner: Node, outer: Node) -> bool:
        """Whether every value that is valid under ``inner`` is valid under ``outer``."""
        return inner.key == outer.key or self._empty(self._those((inner,)), self._those((outer,)))

    def entails(self, inner: Iterable[Node], outer: Node) -> bool:
        """The same for values that are valid under all of some schemas."""
        return self._empty(self._those(inner), self._those((outer,)))

    def _those(self, nodes: Iterable[Node]) -> frozenset[Node]:
        """One node for all that say the same."""
        return frozenset(self._known.setdefault(node.key, node) for node in nodes)

    def _empty(self, valid: frozenset[Node], invalid: frozenset[Node]) -> bool:
        """Whether it is certain that no value is valid under all of some schemas and under none of the others."""
        valid, invalid = self._those(valid), self._those(invalid)
        if valid & invalid:
            return True
        goal = (valid, invalid)
        if (answer := self._answers.get(goal)) is not None:
            return answer
        if (depth := self._open.get(goal)) is not None:
            self._assumed = min(self._assumed, depth)
            return True
        if self._level >= _MAX_LEVELS or not self._step():
            return False
        outside, self._assumed = self._assumed, _NONE
        depth = self._open[goal] = len(self._open)
        self._level += _QUESTION
        answer = self._refuted(valid, invalid)
        self._level -= _QUESTION
        del self._open[goal]
        if not answer or self._assumed >= depth:
            self._assumed = _NONE
        if self._assumed == _NONE:
            self._answers[goal] = answer
        self._assumed = min(self._assumed, outside)
        return answer

    def _step(self) -> bool:
        self._steps_left -= 1
        return self._steps_left > 0

    def _refuted(self, valid: frozenset[Node], invalid: frozenset[Node]) -> bool:
        enums = [node for node in valid if node.values is not None]
        if enums:
            values = min((node.values or () for node in enums), key=len)
            return all(self._excluded(value, valid, invalid) for value in values)
        if not all(self._excluded(value, valid, invalid) for value in (None, False, True)):
            return False
        literals = [*(("schema", True, node) for node in valid), *(("schema", False, node) for node in invalid)]
        return all(self._closed(kind, literals) for kind in _KINDS)

    def _excluded(self, value: object, valid: Iterable[Node], invalid: Iterable[Node]) -> bool:
        self._step()
        return any(holds(node, value) is False for node in valid) or any(holds(node, value) is True for node in invalid)

    def _closed(self, kind: str, literals: Iterable[Literal]) -> bool:
        branch = _Branch(kind, self._known, self._exclusive)
        return branch.take(literals) or self._solve(branch)

    def _solve(self, branch: _Branch) -> bool:
        """Whether a branch is certain to have no value."""
        if self._level >= _MAX_LEVELS or not self._step():
            return False
        while True:
            if branch.enums:
                return all(
                    branch.excludes(value) for value in min(branch.enums, key=len) if kind_of(value) == branch.kind
                )
            if self._contradictory(branch):
                return True
            verdict = branch.simplify()
            self._steps_left -= sum(map(len, branch.choices)) // 50
            if verdict is None:
                break
            if verdict:
                return True
        if not branch.choices:
            return False
        choice = min(branch.choices, key=len)
        branch.choices.remove(choice)
        self._level += _CASE
        closed = all((case := branch.copy()).take(alternative) or self._solve(case) for alternative in choice)
        self._level -= _CASE
        return closed

    def _exclusive(self, node: Node) -> bool:
        """Whether no value is valid under two branches of a oneOf: mostly a member says which one is meant."""
        known = self._exclusives.get(node.key)
        if known is None and discriminated(node.one_of):
            known = self._exclusives[node.key] = True
        if known is not None or len(node.one_of) > _MAX_EXCLUSIVE:
            return bool(known)
        self._exclusives[node.key] = False
        # It is asked of the same values as the question that is open: nothing may be taken for refuted here.
        others, self._open, assumed = self._open, {}, self._assumed
        found = all(self._empty(self._those(pair), frozenset()) for pair in combinations(node.one_of, 2))
        self._open, self._assumed = others, assumed
        self._exclusives[node.key] = found
        return found

    def _contradictory(self, branch: _Branch) -> bool:
        literals = branch.literals
        match branch.kind:
            case "number":
                return no_number(literals)
            case "string":
                return no_string(literals)
            case "array":
                return no_array(literals, self._empty)
        return no_object(literals, self._empty, lambda names: self._closed("string", names))


_NONE = 1 << 60


@dataclass(slots=True)
class _Branch:
    """Values of one type under literals that all hold, and choices of which one alternative each does."""

    kind: str
    known: dict[int, Node]
    exclusive: Callable[[Node], bool]
    literals: dict[Literal, None] = field(default_factory=dict)
    choices: list[Formula] = field(default_factory=list)
    enums: list[tuple[object, ...]] = field(default_factory=list)

    def copy(self) -> _Branch:
        return _Branch(self.kind, self.known, self.exclusive, dict(self.literals), list(self.choices), list(self.enums))

    def take(self, literals: Iterable[Literal]) -> bool:
        """Add literals and what follows from them; whether they contradict what is there."""
        pending = [self._canonical(literal) for literal in literals]
        while pending:
            literal = pending.pop()
            if self._granted(literal):
                continue
            if self._refuses(literal):
                return True
            self.literals[literal] = None
            if literal[0] == "values":
                self.enums.append(literal[1].values)
            elif literal[0] == "schema":
                for formula in self._follows(literal[2], literal[1]):
                    if not formula:
                        return True
                    if len(formula) == 1:
                        pending.extend(map(self._canonical, formula[0]))
                    else:
                        self.choices.append(tuple(tuple(map(self._canonical, case)) for case in formula))
        return False

    def simplify(self) -> bool | None:
        """Drop what is decided of the choices. True: they contradict the rest. False: something was added. Null:
        neither."""
        kept: list[Formula] = []
        added: list[Literal] = []
        for formula in self.choices:
            if any(all(self._granted(literal) for literal in case) for case in formula):
                continue
            left = tuple(case for case in formula if not any(self._refuses(literal) for literal in case))
            if not left:
                return True
            if len(left) == 1:
                added.extend(left[0])
            else:
                kept.append(left)
        self.choices = kept
        if not added:
            return None
        return self.take(added)

    def excludes(self, value: object) -> bool:
        """Whether a value is certain not to satisfy the literals."""
        for literal in self.literals:
            match literal:
                case ("schema", asserted, node):
                    if holds(node, value) is (not asserted):
                        return True
                case ("without", node):
                    if node.lists(value):
                        return True
        return False

    def _follows(self, node: Node, asserted: bool) -> Iterable[Formula]:
        """What follows from a schema, or from its negation, for values of this type."""
        if asserted:
            return [positive for positive, _ in conjuncts(node, self.kind, self.exclusive) if positive]
        return [tuple(case for _, negative in conjuncts(node, self.kind, self.exclusive) for case in negative)]

    def _granted(self, literal: Literal) -> bool:
        return literal in self.literals or (
            literal[0] == "schema" and not literal[1] and _rejects(literal[2], self.kind)
        )

    def _refuses(self, literal: Literal) -> bool:
        """Whether a literal plainly contradicts those that are there."""
        if literal[0] == "schema":
            node, asserted = literal[2], literal[1]
            if asserted and _rejects(node, self.kind):
                return True
            if not asserted and node.always is True:
                return True
        return opposite(literal) in self.literals

    def _canonical(self, literal: Literal) -> Literal:
        """With one node for all that say the same."""
        *about, last = literal
        if not isinstance(last, Node) or literal[0] in ("values", "without"):
            return literal
        return (*about, self.known.setdefault(last.key, last))


def _rejects(node: Node, kind: str) -> bool:
    """Whether a schema plainly has no value of a type."""
    return node.always is False or not node.admits(kind)
