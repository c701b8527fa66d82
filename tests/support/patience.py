"""How long tests wait before they say that something does not happen: for a slow machine that does other work too."""

from typing import Final

WAIT_S: Final = 90.0
"""For a state to come."""
STOPS_WITHIN_S: Final = 30.0
"""For a service to end when it is told to. It promises five seconds, which only an idle machine can judge; what a test
finds is one that waits for something else."""
