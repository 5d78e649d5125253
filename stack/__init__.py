"""The embedded stack: everything Scrip needs on one machine, without a container engine."""
