"""Who may be talked to, and how: TLS with certificates, and plain text on this machine alone."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pardiff.errors import ClusterError, InputError

if TYPE_CHECKING:
    from distributed.security import Security

ENCRYPTED = ("tls", "wss")


@dataclass(frozen=True)
class Tls:
    """Files of a client's certificate; each may come from Dask's own configuration instead."""

    ca: str | None = None
    """The authority that has signed the certificates of scheduler, workers and client."""
    cert: str | None = None
    key: str | None = None

    def security(self) -> Security | None:
        """What a Dask client takes; None where nothing is given here.

        Raises
        ------
        InputError
            If a file is not there.
        """
        given = {"ca": self.ca, "cert": self.cert, "key": self.key}
        if not any(given.values()):
            return None
        for name, file in given.items():
            if file is not None and not Path(file).is_file():
                raise InputError(f"--tls-{name}: there is no file {file}")
        names = {"ca": "tls_ca_file", "cert": "tls_client_cert", "key": "tls_client_key"}
        files = {names[name]: file for name, file in given.items() if file is not None}
        from distributed.security import Security

        return Security(require_encryption=True, **files)


def check_address(address: str, *, insecure: bool = False) -> None:
    """Refuse to send code in plain text to another machine.

    A Dask scheduler runs whatever it is sent, and its workers run whatever it sends: without TLS, whoever can reach it
    or listen is in command of all of them, and of the audit.

    Raises
    ------
    ClusterError
        If the connection would be neither encrypted nor within this machine, unless that is asked for.
    """
    parts = urlsplit(address)
    if insecure or parts.scheme in ENCRYPTED or is_loopback(parts.hostname or ""):
        return
    raise ClusterError(
        f"{address} is another machine, and {parts.scheme}:// is neither encrypted nor authenticated: whoever reaches "
        f"that scheduler can run code on it and its workers; use tls:// with --tls-ca, --tls-cert and --tls-key, or "
        f"say --insecure on a network that you trust"
    )


def check_certificate(address: str, tls: Tls) -> None:
    """Refuse TLS without a certificate of this client.

    Raises
    ------
    InputError
        If neither the arguments nor Dask's configuration name one.
    """
    import dask

    keys = {"ca": "ca-file", "cert": "client.cert", "key": "client.key"}
    given = {"ca": tls.ca, "cert": tls.cert, "key": tls.key}
    missing = [
        f"--tls-{name}"
        for name, key in keys.items()
        if not (given[name] or dask.config.get(f"distributed.comm.tls.{key}", None))
    ]
    if urlsplit(address).scheme in ENCRYPTED and missing:
        raise InputError(
            f"{address} needs a certificate: give {', '.join(missing)}, or name the files in Dask's configuration "
            f"(distributed.comm.tls)"
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by all of its addresses; one that cannot be resolved is not."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)
