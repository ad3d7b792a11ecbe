"""Who calls: credentials, roles and namespaces."""
