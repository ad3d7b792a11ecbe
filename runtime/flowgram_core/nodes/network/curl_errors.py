"""Translation of libcurl's errors into texts for users."""

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


def explain(code: int, message: str, os_error: int, *, host_and_port: str, host: str) -> TransportError:
    """The error that a failed exchange ends with.

    Args:
        code: A number of the `CURLcode` type.
        message: What libcurl says besides.
        os_error: The last errno of connecting, or 0.
        host_and_port: Of the server, as messages name it.
        host: The host alone.
    """
    match code:
        case pycurl.E_OPERATION_TIMEDOUT:
            return TransportTimeout(f'no connection to "{host_and_port}" in time')
        case pycurl.E_COULDNT_RESOLVE_HOST | pycurl.E_URL_MALFORMAT:
            return TransportError(f'unknown host "{host}"')
        case pycurl.E_COULDNT_RESOLVE_PROXY:
            return TransportError(f'unknown proxy for "{host_and_port}"')
        case pycurl.E_COULDNT_CONNECT if os_error == errno.ECONNREFUSED:
            return TransportError(f'"{host_and_port}" refused the connection')
        case pycurl.E_COULDNT_CONNECT if os_error in _UNREACHABLE:
            return TransportError(f'"{host_and_port}" cannot be reached')
        case _ if code in {pycurl.E_COULDNT_CONNECT, _PROXY_ERROR}:
            return TransportError(f'no connection to "{host_and_port}"')
        case pycurl.E_PEER_FAILED_VERIFICATION:
            return TransportError(
                f'the certificate of "{host_and_port}" is not trusted: {_REASON.sub("", message) or "unknown reason"}'
            )
        case pycurl.E_SSL_CONNECT_ERROR:
            return TransportError(
                f'no secure connection to "{host_and_port}": {_REASON.sub("", message) or "TLS failed"}'
            )
        case _ if code in _BROKEN:
            return TransportError(f'the connection to "{host_and_port}" broke')
        case _:
            return TransportError(f'no complete HTTP response from "{host_and_port}"')
