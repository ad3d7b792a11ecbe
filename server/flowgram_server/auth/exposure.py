"""The exposure of a server: whether strangers can reach it, and what it must have then."""

from collections.abc import Mapping

from flowgram_server.address import is_loopback


def exposure_problems(
    listens: Mapping[str, str], *, has_tls: bool, has_auth: bool, insecure_remote: bool
) -> list[str]:
    """What keeps a server from starting, a text for each address beyond loopback that lacks something.

    Args:
        listens: HOST:PORT by the name of the setting; an empty one is not listened on.
        has_tls: Whether the ports are encrypted.
        has_auth: Whether calls need credentials.
        insecure_remote: Whether the operator wants it anyway.
    """
    missing = " and ".join(
        [*([] if has_tls else ["TLS ([tls])"]), *([] if has_auth else ["authentication ([auth])"])]
    )
    if not missing or insecure_remote:
        return []
    return [
        f"{name}: {listen} can be reached from other machines, which takes {missing}; "
        "insecure_remote = true starts without, such as behind a proxy that has both"
        for name, listen in listens.items()
        if listen and not is_loopback(listen)
    ]
