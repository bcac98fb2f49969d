"""Why an instance did not come up, in words that a person can act on.

AWS's sentence first, since tools match it; then what AWS does not say: the phase, the exit code or
signal, what each probe got, the last lines that the model printed, and what to try. Pure: a sight
and a few numbers in, text out.
"""

from __future__ import annotations

from inservice.runtimes.base import InstanceState, Probe, Sight

REASON_CHARACTERS_MAX = 1024
"""FailureReason's limit in AWS's model."""


def did_not_become_ready(
    sight: Sight, *, variant: str, container: str, waited_seconds: float, timeout_seconds: float
) -> str:
    """The FailureReason for an instance that ended, or never answered /ping in its time."""
    sentence = (
        f"The {container} container for production variant {variant} did not pass the ping health "
        "check. Please check CloudWatch logs for this endpoint."
    )
    gone = sight.state is InstanceState.GONE
    parts = [sentence, _how_it_ended(sight) if gone else _how_long(waited_seconds, timeout_seconds)]
    if sight.probes:
        parts.append(f"Pings: {_probes(sight.probes)}.")
    hint = _hint(sight, gone=gone)
    room = REASON_CHARACTERS_MAX - sum(map(len, parts)) - len(hint) - 30
    lines = _last_lines(sight.last_lines, room)
    if lines:
        parts.append(f'Last output: "{lines}".')
    return " ".join([*parts, hint])[:REASON_CHARACTERS_MAX]


def died(sight: Sight, *, variant: str, instance_id: str) -> str:
    """The reason for the loss of an instance that had been ready."""
    words = f"Instance {instance_id} of production variant {variant} was lost while it served."
    parts = [words, _how_it_ended(sight)]
    if lines := _last_lines(sight.last_lines, REASON_CHARACTERS_MAX - sum(map(len, parts)) - 30):
        parts.append(f'Last output: "{lines}".')
    return " ".join(parts)[:REASON_CHARACTERS_MAX]


def _how_it_ended(sight: Sight) -> str:
    if sight.out_of_memory:
        return "It was killed because memory ran out."
    if sight.signal:
        return f"It was ended by {sight.signal}{_starting(sight)}."
    if sight.exit_code is not None:
        return f"It exited with code {sight.exit_code}{_starting(sight)}."
    return f"Its process was found gone{_starting(sight)}."


def _starting(sight: Sight) -> str:
    return " while it was starting" if sight.ready_at is None else ""


def _how_long(waited_seconds: float, timeout_seconds: float) -> str:
    return (
        f"It ran for {waited_seconds:.0f} s of the {timeout_seconds:.0f} s that "
        "ContainerStartupHealthCheckTimeoutInSeconds allows and was not ready."
    )


def _probes(probes: tuple[Probe, ...]) -> str:
    return ", ".join(f"{probe.outcome} in {probe.ms:.0f} ms" for probe in probes[-3:])


def _hint(sight: Sight, *, gone: bool) -> str:
    said = "\n".join(sight.last_lines)
    if sight.out_of_memory or sight.signal == "SIGKILL":
        return "Hint: give the host more memory, or load a smaller model."
    if "ModuleNotFoundError" in said or "ImportError" in said:
        return (
            "Hint: install the missing package beside InService, or remove the import from "
            "code/inference.py."
        )
    if "FileNotFoundError" in said or "model.joblib" in said:
        return "Hint: look into the archive with `inservice model lint`."
    if gone:
        return "Hint: model_fn must return a model; run it by hand with the same Environment."
    return (
        "Hint: if the model needs longer to load, raise "
        "ContainerStartupHealthCheckTimeoutInSeconds; if it hangs, its log says where."
    )


def _last_lines(lines: tuple[str, ...], room: int) -> str:
    """As many of the newest lines as there is room for, oldest first."""
    kept: list[str] = []
    for line in reversed([line.strip() for line in lines if line.strip()]):
        room -= len(line) + 3
        if room < 0:
            break
        kept.insert(0, line)
    return " | ".join(kept)
