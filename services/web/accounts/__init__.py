"""People, their logins and their keys; each module one part of it."""
