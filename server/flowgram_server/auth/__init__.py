"""Authentication and authorization: credentials, roles and namespaces."""
