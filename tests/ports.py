"""A port for a server that is started in a moment."""

import random
import socket

BELOW_OUTGOING = range(15_000, 32_000)
"""Linux takes the ports of outgoing connections, and those that `bind` to 0 gives, from 32768 on."""


def free_port() -> int:
    """A port of this machine that nobody listens on, and that nobody is given by chance before the server has it."""
    for port in random.SystemRandom().sample(BELOW_OUTGOING, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a hundred ports are taken")
