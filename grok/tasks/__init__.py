"""What a network learns."""
