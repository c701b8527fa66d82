"""Stores what devices send, and tells them what is stored."""
