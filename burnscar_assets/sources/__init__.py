"""Label sources: what is a fact of one publisher's fire perimeters, each in a file."""
