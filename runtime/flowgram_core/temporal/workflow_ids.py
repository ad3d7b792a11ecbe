"""Workflow ids: what the cluster calls a task. Pure.

The workflow of a task is found by its namespace and its id together: a task that is asked for in another namespace is a
workflow that does not exist. In the default namespace the two ids are one, as they were before there were namespaces.
"""

import hashlib
from typing import Final

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE

_SEPARATOR: Final = "/"
"""In no name of a namespace, and in no id that a task was given."""
_REQUEST_ID_DIGITS: Final = 40


def workflow_id_of(task_id: str, namespace: str) -> str:
    """The workflow of a task; one that does not exist where the namespace cannot have such a task."""
    if namespace == DEFAULT_NAMESPACE and _SEPARATOR not in task_id:
        return task_id
    return f"{namespace}{_SEPARATOR}{task_id}"


def owner_of(workflow_id: str) -> Owner:
    """The task of a workflow, with its namespace."""
    namespace, separator, task_id = workflow_id.partition(_SEPARATOR)
    return Owner(namespace, task_id) if separator else Owner(DEFAULT_NAMESPACE, workflow_id)


def task_id_of_request(request_id: str, namespace: str) -> str:
    """The task that belongs to a request id of a namespace, alike on all servers, and another than in any other namespace."""
    content = request_id.encode("utf-8", "surrogatepass")
    if namespace != DEFAULT_NAMESPACE:
        content = b"\xff%b\xff%b" % (namespace.encode(), content)  # no byte of a text in UTF-8
    return f"r{hashlib.sha256(content).hexdigest()[:_REQUEST_ID_DIGITS]}"
