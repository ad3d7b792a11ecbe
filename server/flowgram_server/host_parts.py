"""The parts that every host and every worker is composed of."""

from dataclasses import dataclass
from typing import Self

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.node_settings import EgressSettings
from flowgram_core.nodes.registry import Registry
from flowgram_core.nodes.workflow_secrets import WorkflowSecrets
from flowgram_server.node_types import node_types
from flowgram_server.rpc.codec import Codec
from flowgram_server.settings.server import Settings
from flowgram_server.telemetry.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class HostParts:
    """The parts that all hosts have in common.

    Attributes:
        settings: All settings.
        registry: The node types; not opened yet.
        clock: Measures all times.
        fairness: Shares the event loop.
        secrets: The secrets that workflows may use.
        telemetry: What is notified of what happens.
    """

    settings: Settings
    registry: Registry
    clock: Clock
    fairness: FairScheduler
    secrets: WorkflowSecrets
    telemetry: Telemetry

    @classmethod
    def of(
        cls,
        settings: Settings,
        clock: Clock,
        egress: EgressSettings,
        own_ports: OwnPorts | None = None,
        telemetry: Telemetry | None = None,
    ) -> Self:
        """The parts as the settings want them.

        Args:
            settings: How.
            clock: Measures all times.
            egress: What nodes may connect to.
            own_ports: The ports that the server listens on.
            telemetry: What is notified of what happens.

        Raises:
            InvalidSettings: A setting is about a node type that there is not.
            NodeTypeUnusable: A node type of another package is none.
        """
        fairness, secrets = FairScheduler(), settings.workflow_secrets()
        telemetry = telemetry or Telemetry()
        registry = node_types(settings, fairness, egress, secrets, own_ports, telemetry)
        return cls(settings, registry, clock, fairness, secrets, telemetry)

    def codec(self) -> Codec:
        """Another codec for events and results."""
        return Codec(Secrets(self.settings.secret_names))
