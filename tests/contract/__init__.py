"""What the protos say, compared with what the services are and do."""
