"""What file systems and object stores raise, in sentences with a remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pardiff.errors import PardiffError, StoreError


@contextmanager
def translate_storage_errors(
    address: str, verb: str, but: type[Exception] | tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Turn what a file system or an object store says into a `StoreError` with a remedy."""
    try:
        yield
    except PardiffError:
        raise
    except but:
        raise
    except (RuntimeError, ValueError) as error:  # what zarr and its codecs say of a file that is not whole
        raise StoreError(f"the audit at {address} is damaged ({error}); run it again to repair it") from error
    except OSError as error:
        remedies = {
            errno.ENOSPC: "free some space and run again: finished blocks are kept",
            errno.EDQUOT: "free some of your quota and run again: finished blocks are kept",
            errno.EROFS: "the file system is read-only; choose another --out",
            errno.EACCES: "choose another --out or change its permissions",
        }
        remedy = remedies.get(error.errno or 0, "check it and run again: finished blocks are kept")
        reason = error.strerror or str(error).partition("\n")[0]
        if "://" in address:
            reason, remedy = _from_server(reason), "check the address and run again: finished blocks are kept"
        raise StoreError(f"cannot {verb} the audit at {address}: {reason}; {remedy}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "obstore":
            raise
        raise StoreError(
            f"cannot {verb} the audit at {address}: {_from_server(str(error))}; check the address, the credentials and "
            f"the store, and run again: finished blocks are kept"
        ) from error


SAID = {
    "169.254.169.254": "no credentials are set, and this machine has none of its own (for S3: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY)",
    "401 Unauthorized": "the store does not accept the credentials (401 Unauthorized)",
    "403 Forbidden": "the store refuses it with these credentials (403 Forbidden)",
    "404 Not Found": "the store knows no such bucket (404 Not Found)",
}
"""What to make of a part of an object store's answer, the first that is in it."""


def _from_server(text: str) -> str:
    """The reason behind an answer of an object store; the first line of it where it is unknown."""
    return next((reason for part, reason in SAID.items() if part in text), text.partition("\n")[0])
