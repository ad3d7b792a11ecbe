"""Settings of the node types that do I/O, as plain values. Durations are in seconds."""

import os
from dataclasses import dataclass, field

from flowgram_core.nodes.network.egress_rules import EgressRule

MIB = 1024 * 1024


def _cpu_count() -> int:
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class EgressSettings:
    """What http and llm nodes may connect to; `egress.Egress` says how the rules work together.

    Attributes:
        allow: The rules of what is allowed; none: everything that is not denied.
        deny: The rules of what is denied.
        deny_private: Whether addresses that are not public are denied where the node type's own settings do not say.
        proxy: The proxy that every request goes through, with its scheme. It resolves names, so that of the rules those of
            names, ports and literal addresses are left.
    """

    allow: tuple[EgressRule, ...] = ()
    deny: tuple[EgressRule, ...] = ()
    deny_private: bool = False
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class LLMSettings:
    """How llm nodes call their APIs.

    Attributes:
        connect_timeout: How long connecting may take.
        read_timeout: How long the API may be silent, before its first byte and between two.
        max_retries: How often a call is tried again after connection failures and the statuses 408, 409, 429 and 5xx.
        max_clients: So many API hosts are kept connected; the one unused for longest is closed first.
        max_connections: Calls of one API host at once; more wait.
        max_long_connections: Calls of one API host besides, that have taken more than a second while others wait.
        max_answer_bytes: Length of an answer's text, in UTF-8. Of what is not yet parsed, six times that and 1 MiB are held
            at most, since JSON may take so much for it.
        max_held_bytes: What all answers that are under way hold together; beyond it those fail that hold more than their share.
        deny_private: As for http nodes.
        trust_env: Whether the environment names the authorities to trust (`SSL_CERT_FILE`, `SSL_CERT_DIR`) and, without
            `deny_private`, the proxies (`HTTPS_PROXY` and so on).
    """

    connect_timeout: float = 10
    read_timeout: float = 300
    max_retries: int = 3
    max_clients: int = 64
    max_connections: int = 1000
    max_long_connections: int = 4000
    max_answer_bytes: int = 16 * MIB
    max_held_bytes: int = 256 * MIB
    deny_private: bool | None = None
    trust_env: bool = False


@dataclass(frozen=True, slots=True)
class HTTPSettings:
    """How http nodes make their requests.

    Attributes:
        timeout: How long one attempt may take where the node names no time-out.
        max_parallel: Requests at once, over all tasks; more wait, before their time-out begins.
        max_long_parallel: Requests besides, that have taken more than a second while others wait.
        max_keepalive: Idle connections that are kept for the next request.
        keepalive: How long they may be used again; the next request closes those that may not.
        max_redirects: How many redirects are followed.
        max_response_bytes: Length of a response's body, decompressed.
        max_held_bytes: What all responses that are under way hold together; beyond it those fail that hold more than their share.
        user_agent: The `User-Agent` header where the node names none.
        ca_file: A PEM file of the certificate authorities to trust instead of the system's.
        deny_private: Refuses addresses that are not public (loopback, private networks, link-local …), also behind
            redirects, so that a workflow cannot reach the server's own network. None: as `EgressSettings` say.
        trust_env: Whether the environment names the authorities to trust (`SSL_CERT_FILE`, `SSL_CERT_DIR`) and, without
            `deny_private`, the proxies (`HTTPS_PROXY` and so on).
    """

    timeout: float = 10
    max_parallel: int = 256
    max_long_parallel: int = 4096
    max_keepalive: int = 250
    keepalive: float = 4
    max_redirects: int = 20
    max_response_bytes: int = 16 * MIB
    max_held_bytes: int = 256 * MIB
    user_agent: str = "flowgram-server"
    ca_file: str | None = None
    deny_private: bool | None = None
    trust_env: bool = False


@dataclass(frozen=True, slots=True)
class CodeSettings:
    """How code nodes run their scripts.

    Attributes:
        workers: Processes, each of which runs one script at a time; more scripts wait.
        long_workers: Processes besides, for scripts that run for more than a tenth of a second while others wait. 0: these
            keep their process, and others wait for it.
        time_limit: How long one script may run, by the wall clock.
        heap_bytes: Memory of a script's objects.
        stack_bytes: Stack of a script. Scripts recurse about as deep in these 5 MiB as in the 512 KiB of FlowGram's own
            runtime, whose engine is compiled to WebAssembly, where most of a call's state is kept elsewhere.
        max_result_bytes: Length of a result, as JSON text.
        process_bytes: Address space of a worker process: its hard limit on memory.
        jobs_per_worker: A process is replaced after so many scripts; 0: never.
    """

    workers: int = field(default_factory=_cpu_count)
    long_workers: int = field(default_factory=_cpu_count)
    time_limit: float = 60
    heap_bytes: int = 32 * MIB
    stack_bytes: int = 5 * MIB
    max_result_bytes: int = 16 * MIB
    process_bytes: int = 512 * MIB
    jobs_per_worker: int = 0
