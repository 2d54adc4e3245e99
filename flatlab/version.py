"""The version, in a module of its own: what is recorded names it, and stands below `flatlab/__init__.py`."""

__version__ = "0.1.0"
