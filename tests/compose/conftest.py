"""What needs a Docker engine is collected by `make test-compose` only; the rest is in `make test` too."""

import os

collect_ignore = [] if os.environ.get("COMPOSE_TESTS") else ["test_stacks.py"]
