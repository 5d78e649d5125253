"""What at least two services use: mechanism, and the member events that all of them share."""
