"""The settings `quotas.NAMESPACE`: what one namespace may have, whatever others have."""

from typing import Annotated

from pydantic import AfterValidator, Field

from flowgram_core.hosting.quotas import Quota
from flowgram_core.journal.namespaces import check_namespace
from flowgram_server.settings.groups import Count, Group

NamespaceName = Annotated[str, AfterValidator(check_namespace)]


class NamespaceQuota(Group):
    """The limits of a namespace. What is not set has no limit of its own; of what is 0 there may be none."""

    max_tasks: Count | None = Field(
        default=None, ge=0, description="Tasks that run and wait; beyond it new ones are refused."
    )
    max_starts_per_second: Annotated[float, Field(ge=0, le=1e6)] | None = Field(
        default=None, description="New tasks in a second, on average; as many may come at once."
    )
    max_watches: Count | None = Field(
        default=None, ge=0, description="Clients that watch, or wait for a task, at once."
    )
    max_calls: Count | None = Field(
        default=None, ge=0, description="Calls of nodes at once; others wait, and with 0 they fail."
    )
    max_bytes: Count | None = Field(
        default=None, ge=0, description="What its tasks take in the journal; then new ones are refused."
    )

    def quota(self) -> Quota:
        """The same for the runtime."""
        return Quota(
            self.max_tasks, self.max_starts_per_second, self.max_watches, self.max_calls, self.max_bytes
        )
