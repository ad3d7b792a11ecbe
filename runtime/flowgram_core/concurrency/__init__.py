"""What keeps the event loop fair and hand-overs between threads cheap. docs/design.md explains it as a whole."""
