"""`inservice completion bash|zsh|fish`: a script for the shell, which asks us for each word.

eval "$(inservice completion bash)"          in ~/.bashrc; zsh alike
inservice completion fish | source           in ~/.config/fish/config.fish
"""

from __future__ import annotations

import os
import sys
from typing import Final

from inservice.cli.main import DONE

_BASH: Final = r"""
_inservice_completion() {
    local IFS=$'\n' current="${COMP_WORDS[COMP_CWORD]}"
    local words=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
    COMPREPLY=($(inservice completion --words "${words[@]}" --current "$current" 2>/dev/null |
        cut -f1))
}
complete -o default -o bashdefault -F _inservice_completion inservice
"""

_ZSH: Final = r"""
_inservice_completion() {
    local -a offered
    local line
    while IFS=$'\t' read -r line; do
        offered+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done < <(inservice completion --words "${(@)words[2,CURRENT-1]}" \
        --current "${words[CURRENT]}" 2>/dev/null)
    if (( ${#offered} )); then
        _describe 'inservice' offered
    else
        _files
    fi
}
autoload -Uz compinit
(( ${+functions[compdef]} )) || compinit
compdef _inservice_completion inservice
"""

_FISH: Final = r"""
function __inservice_completion
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l offered (inservice completion --words $words[2..-1] --current "$current" 2>/dev/null)
    if count $offered >/dev/null
        printf '%s\n' $offered
    else
        __fish_complete_path "$current"
    end
end
complete -c inservice -f -a '(__inservice_completion)'
"""

SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def run(argv: list[str]) -> int:
    """Print a shell's script, or, for the scripts, the words that may come next."""
    if argv[:1] == ["--words"] and len(argv) >= 3 and argv[-2] == "--current":
        return _offer(argv[1:-2], argv[-1])
    if len(argv) == 1 and argv[0] in SCRIPTS:
        sys.stdout.write(SCRIPTS[argv[0]].lstrip("\n"))
        return DONE
    usage = f"usage: inservice completion {'|'.join(SCRIPTS)}\n"
    if argv in (["--help"], ["-h"]):
        sys.stdout.write(usage)
        return DONE
    from inservice.cli.spelling import USAGE_RC, did_you_mean

    if argv:
        meant = did_you_mean(argv[0], SCRIPTS)
        sys.stderr.write(f'inservice completion: there is no "{argv[0]}"{meant}\n')
    sys.stderr.write(usage)
    return USAGE_RC


def _offer(words: list[str], current: str) -> int:
    from inservice.cli.candidates import candidates

    # A Tab must not wait for the metadata service of a cloud that this machine is not in.
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    for candidate in candidates(words, current):
        sys.stdout.write(f"{candidate.word}\t{candidate.summary}\n")
    return DONE
