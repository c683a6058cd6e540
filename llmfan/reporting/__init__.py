"""A run's folder, read again for people: the document that the HTML page and the Markdown are made of."""
