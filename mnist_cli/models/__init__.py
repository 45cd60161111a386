"""The networks, how they are stored, and what runs them."""
