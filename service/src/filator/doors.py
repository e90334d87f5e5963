"""Which of the two listening sockets a request came in by, and what it then needs."""

from __future__ import annotations

from dataclasses import dataclass

from filator.errors import Unauthorized
from filator.gateway import Scope
from filator.settings import Settings
from filator.tokens import NOBODY, Caller, Gate, Token

OPEN = "open"


@dataclass(frozen=True, slots=True)
class Need:
    """What one method of one route asks for.

    Args:
        inside: scope of a token on the private socket, where tokens are asked for; `open`: none in any case.
        edge: the same on the socket for edges.
        own: whether the scope `owner` is enough, for files of the token's own.
        operators: whether it stays closed at an edge that is open on purpose: no client of the file service needs it.
    """

    inside: str
    edge: str
    own: bool = False
    operators: bool = False


READ = Need("read", "read")
WRITE = Need("write", "write", own=True)
DELETE = Need("admin", "admin", own=True)
ARCHIVE = Need("admin", "admin", operators=True)
STATUS = Need("admin", "admin", operators=True)
# Prometheus and load balancers ask for these on the private socket, without a token.
WATCH = Need(OPEN, "admin", operators=True)
DESCRIBE = Need(OPEN, "read")
ALIVE = Need(OPEN, OPEN)


class Doors:
    """Tells the two sockets apart and asks for a token where one is needed.

    Only the port counts, as the kernel names it; no header can change it. A request of which it is not known where
    it came in counts as one from an edge.
    """

    def __init__(self, settings: Settings, tokens: tuple[Token, ...]) -> None:
        self._inside_port = settings.address[1]
        self._two = settings.edge_address is not None
        self._operators = Gate(tokens)
        everyone = Gate(())
        self._inside = self._operators if settings.private_asks else everyone
        self._edge = self._operators if settings.edge_access == "tokens" else everyone

    def at_edge(self, scope: Scope) -> bool:
        """Say whether the request came in by the socket for edges."""
        server = scope.get("server")
        return self._two and (not server or server[1] != self._inside_port)

    def admit(self, scope: Scope, authorization: str | None, need: Need) -> Caller:
        """Let a request pass or refuse it.

        Args:
            scope: of ASGI; `server` tells the socket.
            authorization: the header's value.
            need: what the route asks for.

        Returns:
            Who asks, without a name where no token was asked for.

        Raises:
            Unauthorized: no token, an unknown one, or the site has none that could be right.
            Forbidden: the token lacks the scope.
        """
        at_edge = self.at_edge(scope)
        wanted = need.edge if at_edge else need.inside
        if wanted == OPEN:
            return NOBODY
        if not at_edge:
            return self._inside.admit(authorization, wanted, own=need.own)
        if need.operators:
            if self._operators.open:
                raise Unauthorized("This is not served through an edge: the service has no tokens")
            return self._operators.admit(authorization, wanted)
        return self._edge.admit(authorization, wanted, own=need.own)
