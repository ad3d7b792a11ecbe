"""What the errors of libcurl mean to users."""

import errno
import re
from typing import Final

import pycurl

from flowgram_core.nodes.network.transport import TransportError, TransportTimeout

_PROXY_ERROR: Final = 97
"""`CURLE_PROXY`, which pycurl 7.49 has no name for."""
_BROKEN: Final = frozenset({pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR})
_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH})
_REASON: Final = re.compile(
    r"^(?:TLS connect error: |SSL certificate (?:problem|verification failed)?:? ?|OpenSSL [\w/]+: )+"
)


def explain(code: int, message: str, os_error: int, *, place: str, host: str) -> TransportError:
    """The error that a failed exchange ends with.

    Args:
        code: A number of the `CURLcode` type.
        message: What libcurl says besides.
        os_error: The last errno of connecting, or 0.
        place: Host and port.
        host: The host alone.
    """
    match code:
        case pycurl.E_OPERATION_TIMEDOUT:
            return TransportTimeout(f'no connection to "{place}" in time')
        case pycurl.E_COULDNT_RESOLVE_HOST | pycurl.E_URL_MALFORMAT:
            return TransportError(f'unknown host "{host}"')
        case pycurl.E_COULDNT_RESOLVE_PROXY:
            return TransportError(f'unknown proxy for "{place}"')
        case pycurl.E_COULDNT_CONNECT if os_error == errno.ECONNREFUSED:
            return TransportError(f'"{place}" refused the connection')
        case pycurl.E_COULDNT_CONNECT if os_error in _UNREACHABLE:
            return TransportError(f'"{place}" cannot be reached')
        case _ if code in {pycurl.E_COULDNT_CONNECT, _PROXY_ERROR}:
            return TransportError(f'no connection to "{place}"')
        case pycurl.E_PEER_FAILED_VERIFICATION:
            return TransportError(
                f'the certificate of "{place}" is not trusted: {_REASON.sub("", message) or "unknown reason"}'
            )
        case pycurl.E_SSL_CONNECT_ERROR:
            return TransportError(
                f'no secure connection to "{place}": {_REASON.sub("", message) or "TLS failed"}'
            )
        case _ if code in _BROKEN:
            return TransportError(f'the connection to "{place}" broke')
        case _:
            return TransportError(f'no complete HTTP response from "{place}"')
