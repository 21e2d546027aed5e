"""A store looked at in a web browser: what is asked, what is found, what is drawn, and the server that answers."""
