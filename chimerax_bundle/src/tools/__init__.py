"""Panels (Qt): each of their actions writes and runs a command."""
