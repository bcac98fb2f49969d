"""Which failures of an installer may pass by themselves: by what uv and pip say."""

from __future__ import annotations

import pytest

from inservice.images.environments.explain import is_unreached

UNREACHED = [
    """error: Failed to fetch: http://127.0.0.1:9/simple/x/
  cause: error sending request for url (http://127.0.0.1:9/simple/x/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)""",
    """error: Failed to fetch: https://no-such-host.invalid/simple/x/
  cause: error sending request for url (https://no-such-host.invalid/simple/x/)
  cause: client error (Connect)
  cause: dns error
  cause: failed to lookup address information: Name or service not known""",
    """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(
'<HTTPConnection object>: Failed to establish a new connection: [Errno 111] Connection refused')'
ERROR: Could not find a version that satisfies the requirement x (from versions: none)
ERROR: No matching distribution found for x""",
]
ANSWERED = [
    """error: No solution found when resolving dependencies
  cause: Because x was not found in the package registry and you require x, we can conclude""",
    """error: Failed to fetch: https://index.example/simple/x/
  cause: HTTP status client error (403 Forbidden) for url (https://index.example/simple/x/)""",
    """error: Failed to fetch: https://index.example/simple/x/
  cause: HTTP status client error (404 Not Found) for url (https://index.example/simple/x/)""",
    "error: Hash mismatch for x==1.0; Failed to fetch the metadata",
    "x is not a supported wheel on this platform.",
    "",
]


@pytest.mark.parametrize("said", UNREACHED)
def test_an_index_that_is_not_reached_may_be_reached_later(said: str) -> None:
    assert is_unreached(said.splitlines())


@pytest.mark.parametrize("said", ANSWERED)
def test_what_an_index_answers_stays(said: str) -> None:
    assert not is_unreached(said.splitlines())
