"""What no single service can test, and what the services' own tests share."""
