"""What earlier versions left behind is upgraded, and goes on."""
