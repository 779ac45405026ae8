# SPDX-License-Identifier: BSD-3-Clause
"""A network for the comparison alone: a namespace with a loopback interface and TCP as Linux has it
unless told otherwise. A machine set to BBR paces even what goes over loopback, and both relays then
vary by a third from run to run."""

import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CONGESTION_CONTROL = "/proc/sys/net/ipv4/tcp_congestion_control"
DEFAULT = "cubic"


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack_from("16xh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, name + bytes(22)))[0]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))


def enter_own_network():
    """Moves this process, and what it starts from now on, into a network namespace of its own.
    Returns what came of it, in words for the report's head."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        return f"the machine's own loopback ({os.strerror(ctypes.get_errno())}: no namespace made)"
    raise_loopback()
    try:
        with open(CONGESTION_CONTROL, "w", encoding="ascii") as file:
            file.write(DEFAULT)
    except OSError:
        pass  # the report names what it is
    return "loopback of a network namespace"
