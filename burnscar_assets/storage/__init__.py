"""Where things lie, how they are written whole, and how their content is hashed."""
