"""The journal: the durable log of all tasks, behind one interface."""
