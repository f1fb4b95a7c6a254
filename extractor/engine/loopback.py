"""vLLM talks to itself over the loopback interface, even in one process. A new network namespace has it switched off."""

import fcntl
import socket
import struct

from extractor.errors import EngineError

_GET_FLAGS, _SET_FLAGS = 0x8913, 0x8914  # SIOCGIFFLAGS, SIOCSIFFLAGS of linux/sockios.h
_UP = 0x1
_REQUEST = "16sH14x"  # struct ifreq: name, flags


def require_loopback() -> None:
    """Switch the loopback interface on where it is off and this process may; it leads nowhere but back here.

    Raises:
        EngineError: it is off and may not be switched on (`loopback_down`).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _GET_FLAGS, struct.pack(_REQUEST, b"lo", 0))
        flags = struct.unpack(_REQUEST, answer)[1]
        if flags & _UP:
            return
        try:
            fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack(_REQUEST, b"lo", flags | _UP))
        except OSError:
            raise EngineError(
                "The loopback interface is down, and vLLM needs it.",
                code="loopback_down",
                fix="Run: ip link set lo up",
            ) from None
