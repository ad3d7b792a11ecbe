"""Associated data belongs to the format of the file: what was sealed by an earlier release has to open."""

from flowgram_core.journal import associated_data


def test_associated_data_stays_as_it_is() -> None:
    """Each text names the kind of the content and its row."""
    assert [
        associated_data.schema_associated_data(b"\x01\xff"),
        associated_data.inputs_associated_data(7),
        associated_data.result_associated_data(7),
        associated_data.cause_associated_data(7, 12),
        associated_data.events_associated_data(7, 12),
        associated_data.proof_associated_data("first"),
    ] == ["schema/01ff", "inputs/7", "result/7", "cause/7/12", "events/7/12", "key/first"]
