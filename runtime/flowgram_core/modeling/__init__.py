"""Modeling: from the text of a schema to a `Document`."""
