"""What a search found, for people: names and pictures of hits, a contact sheet, thumbnails in a terminal."""
