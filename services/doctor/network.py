"""Can a host be found by its name, and does something listen at its port?"""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from typing import Final

from services.doctor.findings import Finding, ok, problem

TIMEOUT_S: Final = 3.0


def is_address(host: str) -> bool:
    """Whether `host` needs no name server."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def name_problem(host: str, error: socket.gaierror) -> Finding:
    """What a name that is not found means."""
    if error.errno == socket.EAI_AGAIN:
        cause = "No name server answers: this machine has no network, or /etc/resolv.conf names none that works."
        return problem(f"the name {host} cannot be looked up", cause, "cat /etc/resolv.conf && ip route")
    cause = "No name server knows it: it is misspelt, or is a name inside another network (of Compose, for example)."
    return problem(f"there is no host named {host}", cause, f"getent hosts {host}   # after correcting the name")


def connect_problem(host: str, port: int, error: OSError, *, start: str) -> Finding:
    """What a connection that is not made means. `start`: the command that starts what should listen there."""
    text = f"{host}:{port} is not reached"
    if error.errno == errno.ECONNREFUSED:
        return problem(
            text, "The machine answers and nothing listens at this port: it is not started, or has another port.", start
        )
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return problem(
            text,
            f"No answer in {TIMEOUT_S:g} s: a firewall drops it, or the machine is off.",
            f"nc -vz {host} {port}   # from another machine; then open this port in the firewall",
        )
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return problem(text, "This machine has no way there: no network, or the wrong one.", "ip route")
    return problem(text, f"{error.strerror or error}.", f"nc -vz {host} {port}")


def reach(host: str, port: int, *, start: str) -> Iterator[Finding]:
    """Look the name up and connect; the last finding is ok where both went well."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        yield name_problem(host, error)
        return
    except UnicodeError:
        yield problem(f"{host!r} is no host name", "A part of it is empty or too long.", "env | grep EMOTION_")
        return
    if not is_address(host):
        yield ok(f"{host} is {found[0][4][0]}")
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_S).close()
    except OSError as error:
        yield connect_problem(host, port, error, start=start)
    else:
        yield ok(f"{host}:{port} answers")
