"""`python -m flowgram_server.cli` is the command `flowgram`."""

from . import main

if __name__ == "__main__":
    main()
