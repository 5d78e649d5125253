"""What survives when any process of the platform is killed at any moment."""
