"""`emotion-edge doctor`: looks at everything that a service needs, and says what is wrong and what mends it.

Each module looks at one thing: a pure verdict from facts, and a probe that gathers them. Probes change nothing, and
import what a service needs only where that service is installed. `checkup` runs them side by side, each for a limited
time.
"""
