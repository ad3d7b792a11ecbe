"""Workflow ids: how the tasks of namespaces are kept apart in one cluster."""

from hypothesis import assume, example, given
from hypothesis import strategies as st

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.temporal.workflow_ids import owner_of, task_id_of_request, workflow_id_of

NAMESPACES = st.sampled_from(["default", "acme", "a", "zoo.1"])
TEXTS = st.text(alphabet="ab/-defaultcm\0", max_size=12)


@given(NAMESPACES, TEXTS, NAMESPACES, TEXTS)
@example("default", "acme/x", "acme", "x")
@example("default", "default/x", "default", "x")
def test_no_two_tasks_have_one_workflow(
    namespace: str, task_id: str, other_namespace: str, other_id: str
) -> None:
    """Whatever is asked for in a namespace leads to no workflow of another's task."""
    assume((namespace, task_id) != (other_namespace, other_id))
    assert workflow_id_of(task_id, namespace) != workflow_id_of(other_id, other_namespace)


@given(NAMESPACES, TEXTS)
def test_a_workflow_says_whose_it_is(namespace: str, task_id: str) -> None:
    """The task comes back, also where no such task can be."""
    assert owner_of(workflow_id_of(task_id, namespace)) == Owner(namespace, task_id)


def test_the_default_namespace_is_as_before() -> None:
    """Tasks that are older than namespaces keep their workflows, and request ids their tasks."""
    assert workflow_id_of("0199", "default") == "0199"
    assert owner_of("0199") == Owner("default", "0199")
    assert task_id_of_request("r", "default") == "r454349e422f05297191ead13e21d3db520e5abef"


@given(NAMESPACES, TEXTS, NAMESPACES, TEXTS)
def test_no_two_requests_have_one_task(
    namespace: str, request_id: str, other_namespace: str, other_id: str
) -> None:
    """So the keys of calls, too, which services know, differ between namespaces."""
    assume((namespace, request_id) != (other_namespace, other_id))
    assert task_id_of_request(request_id, namespace) != task_id_of_request(other_id, other_namespace)
