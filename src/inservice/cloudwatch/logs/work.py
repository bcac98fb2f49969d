"""What looking at log events costs, counted and not timed, so that a page of it has an end.

The unit is about 50 ns: a character of a regular expression. A page is some 0.4 s of one thread,
whatever the pattern and the lines are; AWS too answers a search page by page.
"""

from __future__ import annotations

from inservice.cloudwatch.logs.errors import LogsParameterRefused
from inservice.cloudwatch.logs.expressions import Expression

PAGE = 8_000_000
"""Work after which a search answers with what it has, and a token."""

EVENT = 40
"""Reading a line, knowing its time and putting it in order with those of other streams."""

EVENT_BYTES = 26
"""What an event counts beside its text, in what is sent and in what is answered: AWS's rule."""

EXPRESSIONS_MAX = 2
"""Of one filter pattern: AWS's quota."""


class Workload:
    """What one filter pattern costs. Filled while it is read, and while it is matched."""

    def __init__(self) -> None:
        self._expressions: list[Expression] = []
        self._per_character = 0.0

    def expression(self, text: str) -> Expression:
        """Compile a regular expression of the pattern. Raises LogsParameterRefused."""
        if len(self._expressions) == EXPRESSIONS_MAX:
            raise LogsParameterRefused(
                f"Invalid filter pattern: it has more than {EXPRESSIONS_MAX} regular expressions."
            )
        self._expressions.append(Expression(text))
        return self._expressions[-1]

    def per_character(self, work: float) -> None:
        """The pattern looks at every character of a line, at this cost."""
        self._per_character += work

    def done(self, events: int, characters: int) -> float:
        """The work so far, after so many events with so many characters in all."""
        computed = sum(expression.work for expression in self._expressions)
        return events * EVENT + characters * self._per_character + computed
