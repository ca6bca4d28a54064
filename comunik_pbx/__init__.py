"""Call forwarding for Asterisk PBXs: the service decides once, the PBX executes."""

__version__ = "0.1.0"
