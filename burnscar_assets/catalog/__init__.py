"""Which scenes there are and which a window gets: archives and catalogues, items, searches, matching."""
