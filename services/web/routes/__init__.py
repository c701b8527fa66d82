"""Routes by subject; each function builds a router from what it needs."""
