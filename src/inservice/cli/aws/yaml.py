"""YAML as AWS CLI writes it: block style, sorted keys, quotes and folds where libyaml has them."""

from __future__ import annotations

import re
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.emitter import Emitter

_SINGLE_SPACE: Final = re.compile(r"(?<! ) (?! )")


class _LikeLibyaml(Emitter):
    """AWS CLI writes with libyaml, which decides two things otherwise than ruamel's own emitter."""

    def choose_scalar_style(self) -> str:
        """Single quotes whenever they can hold the text; ruamel doubles them at an apostrophe."""
        style = super().choose_scalar_style()
        multiline_key = self.simple_key_context and self.analysis.multiline
        if style == '"' and self.analysis.allow_single_quoted and not multiline_key:
            return "'"
        return str(style)

    def write_plain(self, text: str, split: bool = True) -> None:
        """Fold at the first space past the width; ruamel folds before it, even before one word."""
        if not text:
            return
        if not self.whitespace:
            self._put(" ")
        for number, words in enumerate(_SINGLE_SPACE.split(text)):
            if number and split and self.column > self.best_width:
                self.write_indent()
            elif number:
                self._put(" ")
            self._put(words)
        self.whitespace = self.indention = False

    def _put(self, text: str) -> None:
        self.column += len(text)
        self.stream.write(text)


def block_yaml() -> YAML:
    """A writer of plain values."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Emitter = _LikeLibyaml
    yaml.representer.default_flow_style = False
    return yaml
