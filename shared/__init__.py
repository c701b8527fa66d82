"""What all services agree on. Imports neither services nor training."""
