"""Certificates for a cluster of one's own: an authority that signs one certificate, and is then forgotten."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pardiff.errors import InputError

DAYS = 365
FILES = ("ca.pem", "cert.pem", "key.pem")


def make_certificates(folder: str | Path, *, days: int = DAYS) -> list[Path]:
    """Write ``ca.pem``, ``cert.pem`` and ``key.pem`` for the scheduler, the workers and the clients of one cluster.

    Whoever holds ``key.pem`` can run code on the cluster; nobody else can. The key of the authority is kept nowhere, so
    that no further certificate can be made: for a new member of the cluster the three files are copied, or made anew.

    Parameters
    ----------
    folder : path
        Where they go; made if it is not there.
    days : int
        How long they are valid.

    Raises
    ------
    InputError
        If one of them is there already, or the package cryptography is missing.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    except ImportError:
        raise InputError("certificates need cryptography; pip install 'pardiff[tls]'") from None
    folder = Path(folder)
    paths = [folder / name for name in FILES]
    for path in paths:
        if path.exists():
            raise InputError(f"{path} is there already; remove it, or choose another folder")
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"pardiff {role}")])
        for role in ("authority", "cluster")
    ]
    made = []
    for number in range(2):
        builder = x509.CertificateBuilder().subject_name(names[number]).issuer_name(names[0])
        builder = builder.public_key(keys[number].public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[number].public_key()), False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False
        )
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=number == 0, crl_sign=number == 0, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        made.append(builder.add_extension(usage, critical=True).sign(keys[0], SHA256()))
    key = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in zip(paths, (*(one.public_bytes(Encoding.PEM) for one in made), key), strict=True):
        mode = 0o600 if path.name == "key.pem" else 0o644
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123
            file.write(content)
    return paths
