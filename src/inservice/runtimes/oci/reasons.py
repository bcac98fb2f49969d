"""Why an engine did not start a container, in words that a person can act on. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Reason(NamedTuple):
    """One way for an engine to refuse."""

    pattern: str
    words: str


REASONS: Final = (
    Reason(
        r"exec(?:utable)?.*\"?serve\"?.*not found|invoke a command that was not found",
        "it has no program 'serve', which is what a container is started with here and on AWS. "
        "Give it an ENTRYPOINT that takes that argument, or put 'serve' on its PATH",
    ),
    Reason(
        r"exec format error",
        "its program is for another processor than this host's. Build it for this one",
    ),
    Reason(
        r"permission denied.*(?:exec|entrypoint)|exec.*permission denied",
        "its program may not be executed. Set its mode (chmod +x) in the image",
    ),
    Reason(
        r"no such file or directory.*exec|exec.*no such file or directory",
        "its ENTRYPOINT names a file that is not in it, or a script whose interpreter is not",
    ),
    Reason(
        r"nvidia|cdi device|could not select device driver|gpu",
        "this host cannot give it a GPU. Install the NVIDIA Container Toolkit, and for Podman the "
        "devices' description: nvidia-ctk cdi generate",
    ),
    Reason(
        r"no space left on device",
        "the disk of the container engine is full",
    ),
    Reason(
        r"statfs|bind source path does not exist|mount.*no such file",
        "the container engine does not see this server's files: it must run on the same host, and "
        "not in a virtual machine or another container",
    ),
    Reason(
        r"newuidmap|subuid|user namespace",
        "the container engine may not run containers as this user. Give it subordinate ids "
        "(/etc/subuid, /etc/subgid)",
    ),
)
"""Narrow before wide."""

OURS: Final = ("disk of the container engine", "engine may not run", "engine does not see")
"""What is the host's matter and not the image's."""


ELSEWHERE: Final = (
    "The container engine runs its containers elsewhere than on this host, in a virtual machine it "
    "may be, where nothing of them can be seen."
)


def no_engine(image: str, said: str) -> str:
    """Why an image cannot run here at all."""
    return f"The image '{image}' is run by a container engine. {said}"


def no_gpus(image: str, why: str) -> str:
    """Why a container would not get the GPUs of its instance type."""
    return f"The image '{image}' cannot be given the GPUs of its instance type: {why}."


def not_isolated(image: str, said: str) -> str:
    """Why an isolated container would be out of everybody's reach."""
    return (
        f"EnableNetworkIsolation cannot be kept for the image '{image}': this server may not enter "
        f"the network of its container ({said}). Run Podman as the user of this server, or the "
        "server as root."
    )


def not_started(image: str, said: str) -> str:
    """Why, and what the engine said."""
    last = said.strip().rpartition("\n")[2].rstrip(".")
    for reason in REASONS:
        if re.search(reason.pattern, said, re.IGNORECASE | re.DOTALL):
            return f"The image '{image}' does not start: {reason.words}. The engine says: {last}."
    return f"The image '{image}' does not start. The engine says: {last}."


def is_of_the_host(reason: str) -> bool:
    """Whether another try may do with the image as it is."""
    return any(words in reason for words in OURS)
