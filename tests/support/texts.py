"""Texts that JSON can hold, for property tests."""

from hypothesis import strategies as st


def _is_read_back(text: str) -> bool:
    """Whether no two surrogates stand beside each other that a reader of JSON takes for one character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") == text


texts = st.text(st.characters()).filter(_is_read_back)
"""Any characters, lone surrogates included."""

texts_with_surrogates = st.text(st.characters(categories=["Cs", "L"])).filter(_is_read_back)
"""Letters, and many lone surrogates."""
