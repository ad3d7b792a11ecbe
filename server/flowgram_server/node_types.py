"""The node types of a server or a worker, as its settings want them, and what metrics read of them."""

from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.hosting.service import TaskService
from flowgram_core.nodes.code.node import CodeNode
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.node_settings import EgressSettings
from flowgram_core.nodes.registry import Registry, installed_node_types, pure_node_types
from flowgram_core.nodes.workflow_secrets import WorkflowSecrets
from flowgram_server.settings.server import Settings
from flowgram_server.telemetry.sources import Sources
from flowgram_server.telemetry.telemetry import Telemetry


def node_types(
    settings: Settings,
    fairness: FairScheduler,
    egress: EgressSettings,
    secrets: WorkflowSecrets,
    own_ports: OwnPorts | None = None,
    telemetry: Telemetry | None = None,
) -> Registry:
    """All node types, as the settings want them.

    Args:
        settings: How.
        fairness: Shares the event loop.
        egress: What nodes may connect to.
        secrets: The secrets that workflows may use.
        own_ports: The ports that the server listens on.
        telemetry: What is notified of what they do.

    Raises:
        InvalidSettings: A setting is about a node type that there is not.
        NodeTypeUnusable: A node type of another package is none.
    """
    registry = Registry(
        (
            *pure_node_types(),
            LLMNode(
                settings.llm_settings(),
                time_slice=fairness.time_slice,
                egress=egress,
                own_ports=own_ports,
                secrets=secrets,
                on_usage=None if telemetry is None else telemetry.on_usage,
                observer=None if telemetry is None else telemetry.requests,
            ),
            HTTPNode(
                settings.http_settings(),
                time_slice=fairness.time_slice,
                egress=egress,
                own_ports=own_ports,
                secrets=secrets,
                secret_names=settings.secret_names,
                observer=None if telemetry is None else telemetry.requests,
            ),
            CodeNode(settings.code_settings()),
            *installed_node_types(),
        )
    )
    settings.check_node_types(registry.executors.keys())
    return registry


def sources_of(registry: Registry, application: TaskService | None) -> Sources:
    """Where the state of a host is read; None: of a worker of another host's tasks."""
    found = registry.executors.get("code")
    code = found if isinstance(found, CodeNode) else None
    return Sources(
        runtime="worker" if application is None else application.runtime,
        node_types=frozenset(registry.names),
        host=None if application is None else application.statistics,
        workers=None if code is None else lambda: len(code.worker_process_ids),
        ended_workers=None if code is None else lambda: code.ended_workers,
    )
