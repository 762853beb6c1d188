"""The web application: people label samples, review classes, look at items and watch the progress, in a browser."""
