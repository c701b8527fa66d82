"""The services. Each imports `shared`, none imports another; `services.main` composes them."""
