"""The condition nodes: choose a branch by comparing values."""
