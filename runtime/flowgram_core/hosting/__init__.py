"""What every host of the engine needs: calls of nodes, the live log, compiled programs, settings, secrets, errors."""
