"""STS's operations: who is asking, and becoming somebody else for a while."""

from inservice.operations.sts import assume_role, caller, session_tokens, web_identity

__all__ = ["assume_role", "caller", "session_tokens", "web_identity"]
