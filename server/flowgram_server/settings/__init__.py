"""The settings of the server and of the gateway: from flags, the environment and a TOML file."""
