"""Every code and what it is worth: code sets, redemptions, campaigns."""
