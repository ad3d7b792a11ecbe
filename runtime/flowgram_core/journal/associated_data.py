"""Associated data (AAD) of sealed contents: names the row of each, so that one that was moved to another row does not open.

It is authenticated and not stored. It belongs to the format of the file: other data would make stored contents unreadable.
"""


def schema_associated_data(schema_hash: bytes) -> str:
    """That of a schema."""
    return f"schema/{schema_hash.hex()}"


def inputs_associated_data(number: int) -> str:
    """That of the inputs of a task, by its number."""
    return f"inputs/{number}"


def result_associated_data(number: int) -> str:
    """That of the result of a task, by its number."""
    return f"result/{number}"


def cause_associated_data(number: int, last_sequence: int) -> str:
    """That of the cause of a batch, by the number of its task and its last event."""
    return f"cause/{number}/{last_sequence}"


def events_associated_data(number: int, last_sequence: int) -> str:
    """That of the events of a batch, by the number of its task and its last event."""
    return f"events/{number}/{last_sequence}"


def proof_associated_data(key_name: str) -> str:
    """That of the proof of a key, by the key's name."""
    return f"key/{key_name}"
